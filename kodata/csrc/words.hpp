// Many words looked for at once (Aho and Corasick 1975), over code points.
#pragma once

#include "chars.hpp"

namespace kodata {

class Words {
public:
    // Characters of `skipped` are passed over in a text. Words must be different, of the basic plane, not empty.
    Words(const std::vector<Chars>& words, const Chars& skipped);

    std::size_t size() const { return lengths_.size(); }

    // Occurrences of each word, those of one word not overlapping, as str.count counts them. Returns the sum.
    std::size_t count(const Text& text, std::vector<u32>& counts) const;

private:
    static constexpr u16 SKIP = 0xFFFF;
    template <class T>
    std::size_t count_as(const T* text, std::size_t n, std::vector<u32>& counts) const;

    std::vector<u32> lengths_;
    std::vector<u16> symbol_of_;  // [0x10000], 0: in no word, SKIP
    std::size_t symbols_ = 1;
    std::vector<u32> next_;       // [states, symbols]
    std::vector<u8> ends_;        // [states] does any word end there?
    std::vector<u32> found_;      // [states] word that ends there + 1
    std::vector<u32> also_;       // [states] next shorter suffix that is a word, 0: none
};

}  // namespace kodata
