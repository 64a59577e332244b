// Repeated n-grams and lines, exactly: hashes only find candidates, equality is always checked.
#pragma once

#include "chars.hpp"

namespace kodata {

struct Span {
    u32 start, length;
};

// Repetition measures of a sequence of words, as kodata/text/measure.py defines them.
struct Repetition {
    double top[3] = {0, 0, 0};              // n = 2..4
    double dup[6] = {0, 0, 0, 0, 0, 0};     // n = 5..10
};
constexpr std::size_t MIN_TOP = 5;

Repetition repetition(const u32* text, const std::vector<Span>& words, std::size_t chars);

// Share of the 10-grams of the words' characters, joined, that occurred before.
double repeated_characters(const u32* text, const std::vector<Span>& words, std::size_t chars);

// (how many spans occurred before, their characters)
std::pair<std::size_t, std::size_t> repeated_spans(const u32* text, const std::vector<Span>& spans);

}  // namespace kodata
