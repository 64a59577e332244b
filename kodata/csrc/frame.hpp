// Lines at the edges of a document that may be its frame: kodata/boilerplate/frequency.py, which is the test oracle.
#pragma once

#include "chars.hpp"

namespace kodata {

constexpr std::size_t HEAD_LINES = 4, TAIL_LINES = 12;

// Keys (48 bits) of the first and of the last lines with text, outermost first; 0 for a line that cannot be frame or is
// not there. Then the key of the site, and 16 bits of the longest line, which stand for the document.
struct Edges {
    u64 head[HEAD_LINES] = {}, tail[TAIL_LINES] = {};
    u64 site = 0, document = 0;
};
constexpr std::size_t EDGES = HEAD_LINES + TAIL_LINES + 2;

Edges edges(const Chars& text, const Chars& site);

}  // namespace kodata
