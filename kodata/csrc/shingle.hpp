// Shingles of a text: character n-grams over its code points without white space, hashed to 64 bits.
//
// kodata/dedup/reference.py states the same in numpy and is the test oracle: change both or neither.
// All arithmetic is modulo 2^64 on values, never on bytes in memory, so results do not depend on endianness.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kodata {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u64 SHINGLE_BASE = 0xD6E8FEB86659FD93ull;
constexpr u64 DIGEST_BASE_0 = 0xA0761D6478BD642Full;
constexpr u64 DIGEST_BASE_1 = 0xE7037ED1A0B428DBull;
constexpr u64 GOLDEN = 0x9E3779B97F4A7C15ull;

// splitmix64's finaliser (Steele, Lea, Flood 2014): a bijection of 64 bits.
inline u64 mix(u64 x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

// The white space of Python's str.isspace().
inline bool is_space(u32 c) {
    if (c > 0x3000) return false;  // nearly every character of Korean
    if (c <= 0x20) return c == 0x20 || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
    if (c < 0x1680) return c == 0x85 || c == 0xA0;
    return c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

// Code points that are NFC_Quick_Check=Yes with combining class 0 in every context. Text made of these
// alone is NFC; anything else is sent back to Python, which knows the whole Unicode table.
inline bool surely_nfc(u32 c) {
    if (c < 0x300) return true;
    if (c >= 0xAC00 && c <= 0xD7A3) return true;
    if (c >= 0x3400 && c <= 0x9FFF) return c <= 0x4DBF || c >= 0x4E00;
    if (c >= 0x2010 && c <= 0x205E) return true;
    if (c >= 0x3001 && c <= 0x33FF)
        return !(c >= 0x302A && c <= 0x302F) && c != 0x3099 && c != 0x309A && !(c >= 0x3190 && c <= 0x319F);
    if (c >= 0x2190 && c <= 0x2BFF) return c != 0x2329 && c != 0x232A && c != 0x2ADC;
    if (c >= 0xFF01 && c <= 0xFFEF) return true;
    return false;
}

// A Python string as it lies in memory: 1, 2 or 4 bytes a code point.
struct Text {
    const void* data;
    std::size_t length;
    int kind;
};

// Code points without white space, in order. Returns whether the text may not be NFC.
bool compact(const Text& text, std::vector<u32>& out);

// Unmixed polynomial hashes of all n-grams, in order: sum over j of (c[i+j] + 1) * BASE^(n-1-j).
// A text shorter than n has one gram, itself; an empty text has none.
void ngrams(const std::vector<u32>& chars, std::size_t n, std::vector<u64>& out);

// Ascending order of mixed hashes: those are uniform, so dealt by their upper bits into as many bins as there are
// values each stands next to its place. `spare` and `places` are room to be used again.
void sort_hashes(std::vector<u64>& values, std::vector<u64>& spare, std::vector<std::size_t>& places);

}  // namespace kodata
