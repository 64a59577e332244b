// The normal form of a text: kodata/text/normalise.py, which defines it and is the test oracle.
#pragma once

#include <functional>

#include "chars.hpp"
#include "markup.hpp"

namespace kodata {

// The rest of Unicode's NFC, for texts with characters whose form depends on their neighbours.
using Nfc = std::function<void(Chars& text)>;

struct Callbacks {
    Known known;
    Nfc nfc;
};

// A character that a high byte becomes under Latin-1 or windows-1252.
bool is_high(u32 c);

// Syllables outside KS X 1001 are a sign of mojibake: of the first RARE_WINDOW characters LEAST_RARE of them and more.
constexpr std::size_t RARE_WINDOW = 4000, LEAST_RARE = 3;

// Whether kodata.text.repair.suspicious sees a sign of mojibake.
bool repair_suspicious(const u32* text, std::size_t n);

// Code points whose NFC is themselves whatever stands beside them, provided their neighbours are such too.
bool nfc_alone(u32 c);

// Fills `signs` from the other tables.
void mark_signs(Tables& made);

// Replaces the text by its normal form. Returns false, the text then being of no use, when it must be left to Python:
// it may be mojibake, or its letters fold in a way only Python knows.
bool normalise(Chars& text, const Callbacks& python);

}  // namespace kodata
