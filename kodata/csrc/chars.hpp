// Characters as Python sees them, and the tables the text core works with.
//
// Classes come from the interpreter's own Unicode data, word lists and translation tables from the Python modules that
// define them, so that nothing is stated twice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shingle.hpp"

namespace kodata {

using Chars = std::vector<u32>;

inline bool is_hangul(u32 c) { return c >= 0xAC00 && c <= 0xD7A3; }

// kodata.text.measure numbers the classes in this order.
enum Class : u8 { LETTER, HANGUL, HANJA, LATIN, KANA, OTHER, JAMO, DIGIT, SPACE, SYMBOL, LOST, CLASSES };

struct CharTable {
    std::array<u8, 0x10000> classes;  // of the basic plane

    CharTable();
    u8 at(u32 c) const { return c < 0x10000 ? classes[c] : beyond(c); }
    static u8 beyond(u32 c);
};

const CharTable& char_table();

bool is_word(u32 c);     // \w
bool is_decimal(u32 c);  // \d

// What the normal form does to single characters: kept (the character itself), another character, or GONE.
constexpr u32 GONE = 0xFFFFFFFFu;

// Signs of a character that a rule of the normal form may change: by itself, or (WATCHED) for what stands beside it.
// SUSPECT ones may begin mojibake, RUNNING ones stand in runs that are shortened.
enum Sign : u8 { TRANSLATED = 1, UNSURE = 2, JOINING = 4, EMOJI = 8, BLANK = 16, WATCHED = 32, SUSPECT = 64, RUNNING = 128 };
constexpr u8 LOOKED_AT = WATCHED | SUSPECT | RUNNING;

struct Tables {
    std::vector<u8> signs;              // [0x10000]
    std::vector<u32> prose;             // [0x10000] kodata.text.normalise._TABLE
    std::vector<u32> code;              // [0x10000] kodata.text.normalise._NOT_IN_CODE
    std::array<u8, 11172> syllables{};  // bit 0: among the most frequent, bit 1: in KS X 1001
    std::vector<u32> ideographs;        // [0x200] NFC of U+F900-FAFF, each a single character
};

Tables& tables();

inline bool common_syllable(u32 c) { return is_hangul(c) && (tables().syllables[c - 0xAC00] & 1); }
inline bool ksx_syllable(u32 c) { return is_hangul(c) && (tables().syllables[c - 0xAC00] & 2); }

// The characters of a Python string; a large buffer of an earlier text is given back.
void load(const Text& text, Chars& out);

// Bytes of the text in UTF-8, a lone surrogate counting as one: a question mark in its place.
std::size_t utf8_size(const Text& text);

inline bool starts_with(const u32* at, const u32* end, const char32_t* word) {
    for (; *word; ++word, ++at)
        if (at == end || *at != static_cast<u32>(*word)) return false;
    return true;
}

}  // namespace kodata
