// HTML remains out of a text: the patterns of kodata/text/markup.py, which defines them and is the test oracle.
#pragma once

#include <functional>

#include "chars.hpp"

namespace kodata {

// What Python makes of one entity such as `&quot;` (kodata.text.markup._known).
using Known = std::function<void(const u32* entity, std::size_t n, Chars& out)>;

bool markup_suspicious(const Chars& text);

// One pass of strip_markup, in place. Returns false, and changes nothing, where letters fold in a way only Python knows.
bool strip_markup(Chars& text, const Known& known);

}  // namespace kodata
