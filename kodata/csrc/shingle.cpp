#include "shingle.hpp"

namespace kodata {

template <class T>
static bool compact_as(const T* data, std::size_t length, std::vector<u32>& out) {
    out.resize(length);
    u32* to = out.data();
    bool suspect = false;
    for (std::size_t i = 0; i < length; ++i) {
        const u32 c = data[i];
        suspect |= !surely_nfc(c);
        *to = c;
        to += !is_space(c);
    }
    out.resize(static_cast<std::size_t>(to - out.data()));
    return suspect;
}

bool compact(const Text& text, std::vector<u32>& out) {
    if (text.kind == 1) return compact_as(static_cast<const std::uint8_t*>(text.data), text.length, out);
    if (text.kind == 2) return compact_as(static_cast<const std::uint16_t*>(text.data), text.length, out);
    return compact_as(static_cast<const std::uint32_t*>(text.data), text.length, out);
}

void ngrams(const std::vector<u32>& chars, std::size_t n, std::vector<u64>& out) {
    out.clear();
    if (chars.empty()) return;
    if (n > chars.size()) n = chars.size();
    u64 out_power = 1;  // BASE^n, the weight with which a code point leaves the window
    for (std::size_t j = 0; j < n; ++j) out_power *= SHINGLE_BASE;
    out.resize(chars.size() - n + 1);
    u64 h = 0;
    for (std::size_t i = 0; i < n; ++i) h = h * SHINGLE_BASE + (chars[i] + 1u);
    out[0] = h;
    for (std::size_t i = n; i < chars.size(); ++i) {
        h = h * SHINGLE_BASE + (chars[i] + 1u) - (chars[i - n] + 1u) * out_power;
        out[i - n + 1] = h;
    }
}

}  // namespace kodata
