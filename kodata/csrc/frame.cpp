#include "frame.hpp"

#include <algorithm>

#include "repetition.hpp"

namespace kodata {

namespace {

using At = const u32*;
constexpr std::size_t MAX_LINE = 160;

u64 hashed(u64 h, u32 c) { return h * DIGEST_BASE_0 + (c + 1u); }

At skip_space(At at, At end) {
    while (at < end && is_space(*at)) ++at;
    return at;
}

// The key of a line: blanks and digits do not matter.
u64 key_of(u64 site, At at, At end) {
    u64 h = hashed(site, 0);
    bool digits = false, blank = false, begun = false;
    for (; at < end; ++at) {
        if (is_space(*at)) {
            blank = begun;
            digits = false;
            continue;
        }
        if (blank) h = hashed(h, ' ');
        blank = false;
        begun = true;
        const bool digit = is_decimal(*at);
        if (!digit) h = hashed(h, *at);
        if (digit && !digits) h = hashed(h, '0');
        digits = digit;
    }
    return mix(h) >> 16;
}

bool has_letters(At at, At end) {
    int letters = 0;
    for (; at < end && letters < 2; ++at) letters += is_word(*at) && !is_decimal(*at) && *at != '_';
    return letters == 2;
}

bool is_structure(At at, At end) {
    at = skip_space(at, end);
    if (starts_with(at, end, U"```") || starts_with(at, end, U"~~~") || starts_with(at, end, U":::")) return true;
    if (at == end || *at != '<') return false;
    ++at;
    if (at < end && *at == '/') ++at;
    if (at == end || *at >= 0x80 || (*at | 32) < 'a' || (*at | 32) > 'z') return false;
    At close = std::find(at, end, u32{'>'});
    return close != end && skip_space(close + 1, end) == end;
}

bool is_attribution(At line, At end) {
    for (At at = line; at < end; ++at) {
        if (*at == 'C' && starts_with(at, end, U"CC") && (at == line || !is_word(at[-1]))) {
            At by = at + 2;
            if (by < end && (*by == ' ' || *by == '-')) ++by;
            if (starts_with(by, end, U"BY")) return true;
        }
        if (*at == U'공' && starts_with(at, end, U"공공누리")) return true;
        if (*at == U'크' && starts_with(at, end, U"크리에이티브")) {
            At next = at + 6;
            if (next < end && is_space(*next)) ++next;
            if (starts_with(next, end, U"커먼즈")) return true;
        }
    }
    At at = skip_space(line, end);
    if (!starts_with(at, end, U"출처")) return false;
    at = skip_space(at + 2, end);
    return at < end && (*at == '=' || *at == '/' || *at == ':');
}

bool countable(At at, At end) {
    return static_cast<std::size_t>(end - at) <= MAX_LINE && has_letters(at, end) && !is_structure(at, end) &&
           !is_attribution(at, end);
}

}  // namespace

Edges edges(const Chars& text, const Chars& site) {
    static thread_local std::vector<Span> lines;  // those with text
    lines.clear();
    Edges found;
    Span longest{0, 0};
    const u32 size = static_cast<u32>(text.size());
    At data = text.data();
    for (u32 start = 0; start <= size;) {
        const u32 end = static_cast<u32>(std::find(data + start, data + size, u32{'\n'}) - data);
        if (skip_space(data + start, data + end) != data + end) lines.push_back({start, end - start});
        if (end - start > longest.length) longest = {start, end - start};
        start = end + 1;
    }
    u64 of_site = 0;
    for (u32 c : site) of_site = hashed(of_site, c);
    auto key = [&](const Span& line) {
        At at = data + line.start, end = at + line.length;
        return countable(at, end) ? key_of(of_site, at, end) : 0;
    };
    for (std::size_t i = 0; i < std::min(HEAD_LINES, lines.size()); ++i) found.head[i] = key(lines[i]);
    for (std::size_t i = 0; i < std::min(TAIL_LINES, lines.size()); ++i) found.tail[i] = key(lines[lines.size() - 1 - i]);
    found.site = key_of(of_site, data, data);
    u64 h = 0;
    for (u32 i = 0; i < longest.length; ++i) h = hashed(h, data[longest.start + i]);
    found.document = mix(h) & 0xFFFF;
    return found;
}

}  // namespace kodata
