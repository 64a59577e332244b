#include "prose.hpp"

#include <algorithm>

namespace kodata {

static bool is_letter(u32 c) { return (c | 32) >= 'a' && (c | 32) <= 'z' && c < 0x80; }

static const u32* find_word(const u32* at, const u32* end, const char32_t* word) {
    for (; at < end; ++at)
        if (*at == static_cast<u32>(*word) && starts_with(at, end, word)) return at;
    return end;
}

const u32* skip_code(const u32* at, const u32* end) {
    if (at >= end || *at != '`') return at;
    if (starts_with(at, end, U"```")) {
        const u32* close = find_word(at + 3, end, U"```");
        return close == end ? end : close + 3;
    }
    const u32* close = at + 1;
    while (close < end && *close != '`' && *close != '\n') ++close;
    return close < end && *close == '`' && close > at + 1 ? close + 1 : at;
}

bool has_code_sign(const Chars& text) {
    const u32 *at = text.data(), *end = at + text.size();
    for (; at < end; ++at) {
        if (*at >= 0x80) continue;
        switch (*at) {
            case '`': return true;
            case ':': if (starts_with(at, end, U"://")) return true; break;
            case 'w': if (starts_with(at, end, U"www.")) return true; break;
            case '<': if (at + 1 < end && (is_letter(at[1]) || at[1] == '/')) return true; break;
            case '{': if (starts_with(at, end, U"{/*")) return true; break;
            default: break;
        }
    }
    return false;
}

// an address runs on to white space or Hangul
static const u32* skip_address(const u32* at, const u32* from, const u32* end) {
    const u32* to = from;
    while (to < end && !is_space(*to) && !is_hangul(*to)) ++to;
    return to > from ? to : at;
}

static const u32* skip_tag(const u32* at, const u32* end) {
    const u32* to = at + 1;
    if (to < end && *to == '/') ++to;
    if (to >= end || !is_letter(*to)) return at;
    ++to;
    for (int n = 0; to < end; ++to, ++n) {
        if (*to == '>') return to + 1;
        if (*to == '<' || n == 200) return at;
    }
    return at;
}

static const u32* skip_comment(const u32* at, const u32* end) {
    for (const u32* to = at + 3; to < end; ++to) {
        if (starts_with(to, end, U"*/}")) return to + 3;
        if (starts_with(to, end, U"{/*")) return at;
    }
    return at;
}

static const u32* skip_one(const u32* at, const u32* end) {
    switch (*at) {
        case '`': return skip_code(at, end);
        case 'h':
            if (starts_with(at, end, U"http://")) return skip_address(at, at + 7, end);
            if (starts_with(at, end, U"https://")) return skip_address(at, at + 8, end);
            return at;
        case 'w': return starts_with(at, end, U"www.") ? skip_address(at, at + 4, end) : at;
        case '<': return skip_tag(at, end);
        case '{': return starts_with(at, end, U"{/*") ? skip_comment(at, end) : at;
        default: return at;
    }
}

void without_code(const Chars& text, Chars& out) {
    out.clear();
    out.reserve(text.size());
    const u32 *at = text.data(), *end = at + text.size();
    while (at < end) {
        const u32* to = skip_one(at, end);
        if (to == at) {
            out.push_back(*at++);
        } else {
            out.push_back(' ');
            at = to;
        }
    }
}

}  // namespace kodata
