// Pre-tokenisation: the llama-bpe and qwen2 patterns of llama.cpp as one hand-written scanner over UTF-8.
//
//   (?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3}
//   |  ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
//
// qwen2 differs in one place: \p{N} instead of \p{N}{1,3}. The regex itself (kotok/pattern.py) is the reference and
// the test oracle. The scanner never backtracks over more than one character, so a line of a million spaces is linear.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "unicode_classes.h"

namespace kotok {

enum CodeClass : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3, kNewline = 4 };

// One byte per code point, filled once.
inline const uint8_t* class_table() {
    static const std::vector<uint8_t> table = [] {
        std::vector<uint8_t> t(0x110000, kOther);
        for (const CodeRange& r : kLetters) for (uint32_t c = r.first; c <= r.last; ++c) t[c] = kLetter;
        for (const CodeRange& r : kNumbers) for (uint32_t c = r.first; c <= r.last; ++c) t[c] = kNumber;
        for (const CodeRange& r : kSpaces) for (uint32_t c = r.first; c <= r.last; ++c) t[c] = kSpace;
        t['\r'] = t['\n'] = kNewline;
        return t;
    }();
    return table.data();
}

// One code point of valid UTF-8; advances p.
inline uint32_t next_code(const uint8_t*& p) {
    uint32_t b = *p++;
    if (b < 0x80) return b;
    if (b < 0xE0) { uint32_t c = (b & 0x1F) << 6 | (p[0] & 0x3F); p += 1; return c; }
    if (b < 0xF0) { uint32_t c = (b & 0x0F) << 12 | (p[0] & 0x3F) << 6 | (p[1] & 0x3F); p += 2; return c; }
    uint32_t c = (b & 0x07) << 18 | (p[0] & 0x3F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    p += 3;
    return c;
}

class Scanner {
  public:
    Scanner(const char* text, size_t size, int max_digits)
        : p_(reinterpret_cast<const uint8_t*>(text)), end_(p_ + size), max_digits_(max_digits), table_(class_table()) {}

    bool done() const { return p_ == end_; }
    const uint8_t* position() const { return p_; }

    // Moves past the next pre-token and returns its start; its end is position(). Call only while !done().
    const uint8_t* next() {
        const uint8_t* start = p_;
        const uint8_t* q = p_;
        uint32_t c = next_code(q);
        uint8_t kind = table_[c];
        if (c == '\'') {
            if (const uint8_t* after = contraction(q)) { p_ = after; return start; }
        }
        if (kind == kLetter) { p_ = run(q, kLetter); return start; }
        if (kind == kNumber) { p_ = digits(q); return start; }
        uint8_t ahead = q < end_ ? peek(q) : uint8_t(kNoCode);
        // One leading character that is no newline, letter or number goes with the letters after it.
        if (kind != kNewline && ahead == kLetter) { p_ = run(q, kLetter); return start; }
        if (kind == kOther || (c == ' ' && ahead == kOther)) { p_ = run(run(q, kOther), kNewline); return start; }
        // White space from here on: up to its last newline, else all but its last character before a non-space.
        const uint8_t* last_newline = kind == kNewline ? q : nullptr;
        const uint8_t* before_last = start;
        while (q < end_) {
            const uint8_t* r = q;
            uint8_t k = table_[next_code(r)];
            if (k != kSpace && k != kNewline) break;
            before_last = q;
            q = r;
            if (k == kNewline) last_newline = q;
        }
        if (last_newline) p_ = last_newline;
        else if (q == end_ || before_last == start) p_ = q;
        else p_ = before_last;
        return start;
    }

  private:
    static constexpr uint8_t kNoCode = 255;

    uint8_t peek(const uint8_t* q) const { return table_[next_code(q)]; }

    const uint8_t* run(const uint8_t* q, uint8_t kind) const {
        while (q < end_) {
            const uint8_t* r = q;
            if (table_[next_code(r)] != kind) break;
            q = r;
        }
        return q;
    }

    const uint8_t* digits(const uint8_t* q) const {
        for (int n = 1; n < max_digits_ && q < end_; ++n) {
            const uint8_t* r = q;
            if (table_[next_code(r)] != kNumber) break;
            q = r;
        }
        return q;
    }

    // 's 't 're 've 'm 'll 'd in either case; q points after the apostrophe.
    const uint8_t* contraction(const uint8_t* q) const {
        if (q == end_) return nullptr;
        uint8_t a = *q | 0x20;
        if (a == 's' || a == 't' || a == 'm' || a == 'd') return q + 1;
        if (end_ - q < 2) return nullptr;
        uint8_t b = q[1] | 0x20;
        bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
        return two ? q + 2 : nullptr;
    }

    const uint8_t* p_;
    const uint8_t* end_;
    int max_digits_;
    const uint8_t* table_;
};

}  // namespace kotok
