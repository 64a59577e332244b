// How much of each of many short reference texts is contained in a document, by n-gram hashes.
#pragma once

#include <cstdint>
#include <vector>

#include "shingle.hpp"

namespace kodata {

struct Overlap {
    u32 document, field;
    u32 found, total;  // distinct n-grams of the field: in the document, in all
};

class OverlapIndex {
  public:
    explicit OverlapIndex(std::size_t n) : n_(n) {}
    // Adds the distinct n-grams of one reference text; returns how many (0: shorter than n, not searchable).
    u32 add(const std::vector<u32>& chars);
    void build();
    // Appends one entry for each field that shares at least one n-gram with the document.
    void search(u32 document, const std::vector<u32>& chars, std::vector<Overlap>& out);
    std::size_t fields() const { return totals_.size(); }

  private:
    std::size_t n_;
    std::vector<u32> totals_;
    std::vector<std::pair<u64, u32>> postings_;  // (gram, field), sorted by build()
    std::vector<u64> keys_;                      // distinct grams, sorted
    std::vector<u32> starts_;                    // postings of keys_[i]: starts_[i] .. starts_[i + 1]
    std::vector<u64> filter_;                    // one bit a hash value: most grams of a document stop here
    u64 filter_mask_ = 0;
    std::vector<u64> grams_;
    std::vector<u32> found_, seen_;
};

}  // namespace kodata
