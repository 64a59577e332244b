// What is not prose in a text: code, addresses, tags. The patterns are those of kodata/text/measure.py.
#pragma once

#include "chars.hpp"

namespace kodata {

// The end of code at `at` (a ``` fence, closed or not, or `inline code`), or `at` when none begins there.
const u32* skip_code(const u32* at, const u32* end);

bool has_code_sign(const Chars& text);

// The text with each piece that is not prose replaced by a blank.
void without_code(const Chars& text, Chars& out);

}  // namespace kodata
