// Emoticon runs, blanks and newlines, and where fenced code stands: the layout rules of kodata/text/normalise.py.
#pragma once

#include <functional>

#include "chars.hpp"

namespace kodata {

// All rules of _layout, in place. `emoji`: there may be some.
void lay_out(Chars& text, bool emoji);

bool is_emoji(u32 c);

// Characters of which longer runs are shortened: of one of them, of several together.
bool is_run(u32 c);
bool is_mixed_run(u32 c);

// Calls `take(from, to, fenced)` for the pieces of a text in order; joined they are the text (_pieces).
void each_piece(const Chars& text, const std::function<void(const u32*, const u32*, bool)>& take);

// Lines that open or close fences lose the white space at their end, in place.
void trim_fences(Chars& text);

}  // namespace kodata
