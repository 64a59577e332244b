// The measures of kodata/text/measure.py, which defines them and is the test oracle: change both or neither.
#pragma once

#include "chars.hpp"

namespace kodata {

struct Measured {
    long long chars = 0, eojeol = 0, lines = 0, hangul_chars = 0, korean_chars = 0, particles = 0;
    double mean_eojeol = 0, korean = 0, hanja = 0, kana = 0, jamo = 0, symbols = 0, digits = 0, lost = 0, rare = 0, common = 1;
    double line_punct = 0, prose = 0, mean_line = 0, newlines = 0, bullets = 0, ellipsis = 0;
    double dup_lines = 0, dup_line_chars = 0, top[3] = {0, 0, 0}, dup[6] = {0, 0, 0, 0, 0, 0}, char_repeat = 0;
};

// Measures of one text; `found` comes in with its defaults.
void measure(const Chars& text, Measured& found);

}  // namespace kodata
