#include "shingle.hpp"

#include <algorithm>

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

void sort_hashes(std::vector<u64>& values, std::vector<u64>& spare, std::vector<std::size_t>& places) {
    constexpr std::size_t FEW = 24;  // a fuller bin holds repeats of a hash
    unsigned bits = 1;
    while ((values.size() >> bits) > 1 && bits < 24) ++bits;
    const unsigned shift = 64 - bits;
    places.assign((std::size_t{1} << bits) + 1, 0);
    for (const u64 v : values) ++places[(v >> shift) + 1];
    for (std::size_t i = 1; i < places.size(); ++i) places[i] += places[i - 1];
    spare.resize(values.size());
    for (const u64 v : values) spare[places[v >> shift]++] = v;  // places[b] is now the end of bin b
    std::size_t begin = 0;
    for (std::size_t bin = 0; bin + 1 < places.size(); begin = places[bin++]) {
        const std::size_t end = places[bin];
        if (end - begin > FEW) {
            std::sort(spare.begin() + begin, spare.begin() + end);
            continue;
        }
        for (std::size_t i = begin + 1; i < end; ++i) {
            const u64 v = spare[i];
            std::size_t k = i;
            for (; k > begin && spare[k - 1] > v; --k) spare[k] = spare[k - 1];
            spare[k] = v;
        }
    }
    values.swap(spare);
}

}  // namespace kodata
