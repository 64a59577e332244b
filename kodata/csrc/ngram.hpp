// Look-up of character n-grams by their 64-bit keys, for kodata/score/charlm.py, whose numpy path is the definition.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kodata {

// One order's sorted keys with a value each, as an open-addressed table. Key ~0 does not occur: keys have at most 60 bits.
class KeyTable {
  public:
    KeyTable(const std::uint64_t* keys, const float* values, std::size_t count);
    float find(std::uint64_t key, float otherwise) const;

  private:
    struct Slot {
        std::uint64_t key;
        float value;
    };
    std::vector<Slot> slots_;
    std::size_t mask_;
};

class NgramTable {
  public:
    explicit NgramTable(unsigned bits) : bits_(bits) {}
    void add(KeyTable&& grams, KeyTable&& contexts);
    std::size_t order() const { return grams_.size(); }
    // Bits of each number from place order() - 1 on; `count` numbers, count - order() + 1 results.
    void costs(const std::uint16_t* numbers, std::size_t count, double log2_size, double unknown_bits, double* out) const;

  private:
    unsigned bits_;
    std::vector<KeyTable> grams_, contexts_;
};

}  // namespace kodata
