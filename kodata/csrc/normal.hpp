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
