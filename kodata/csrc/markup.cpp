#include "markup.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "prose.hpp"

namespace kodata {

namespace {

using At = const u32*;

bool is_letter(u32 c) { return c < 0x80 && (c | 32) >= 'a' && (c | 32) <= 'z'; }
bool is_digit(u32 c) { return c >= '0' && c <= '9'; }
bool is_hex(u32 c) { return is_digit(c) || (c < 0x80 && (c | 32) >= 'a' && (c | 32) <= 'f'); }

At skip_space(At at, At end) {
    while (at < end && is_space(*at)) ++at;
    return at;
}

// ASCII letters of either case; `word` is in lower case
bool same_word(At at, At end, std::string_view word) {
    if (static_cast<std::size_t>(end - at) < word.size()) return false;
    for (std::size_t i = 0; i < word.size(); ++i) {
        const u32 c = at[i];
        const u32 low = c >= 'A' && c <= 'Z' ? c + 32 : c;
        if (low != static_cast<unsigned char>(word[i])) return false;
    }
    return true;
}

constexpr std::string_view BLOCK[] = {
    "br", "p", "div", "li", "ul", "ol", "tr", "table", "tbody", "thead", "tfoot", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "section", "article", "header", "footer", "blockquote", "center", "dl", "dt", "dd", "pre", "figure", "figcaption"};
constexpr std::string_view INLINE[] = {
    "span", "font", "b", "strong", "i", "em", "u", "s", "a", "img", "small", "big", "sup", "sub", "td", "th", "col",
    "colgroup", "caption", "nobr", "o:p", "tt", "ins", "del", "strike"};
constexpr std::string_view ALONE[] = {"br", "hr", "p", "li", "tr", "td", "img"};
constexpr int BLOCKS = sizeof(BLOCK) / sizeof(*BLOCK), INLINES = sizeof(INLINE) / sizeof(*INLINE);

// Number of the tag name at `at`: blocks first, then inline ones; -1 for none. `to`: behind it.
// A name ends at white space, `/` or `>`, so the longest run of its characters must be the name.
int tag_name(At at, At end, At& to) {
    to = at;
    while (to < end && to - at < 11 && (is_letter(*to) || is_digit(*to) || *to == ':')) ++to;
    const std::size_t n = static_cast<std::size_t>(to - at);
    if (!n || n > 10) return -1;
    for (int i = 0; i < BLOCKS; ++i)
        if (BLOCK[i].size() == n && same_word(at, to, BLOCK[i])) return i;
    for (int i = 0; i < INLINES; ++i)
        if (INLINE[i].size() == n && same_word(at, to, INLINE[i])) return BLOCKS + i;
    return -1;
}

std::string_view name_of(int tag) { return tag < BLOCKS ? BLOCK[tag] : INLINE[tag - BLOCKS]; }

bool stands_alone(int tag) { return std::find(std::begin(ALONE), std::end(ALONE), name_of(tag)) != std::end(ALONE); }

// closing tags, comments, <br>, tags with attributes: the sign that tags mark text up here
bool is_paired(At at, At end) {
    if (starts_with(at, end, U"<!--")) return true;
    At to = at + 1;
    const bool close = to < end && *to == '/';
    const int tag = tag_name(to + close, end, to);
    if (tag < 0) return false;
    At after = skip_space(to, end);
    if (close) return after < end && *after == '>';
    if (name_of(tag) == "br") {
        At last = after < end && *after == '/' ? after + 1 : after;
        if (last < end && *last == '>') return true;
    }
    if (to >= end || !is_space(*to)) return false;
    ++to;
    for (int n = 0; to < end && n <= 1000; ++to, ++n) {
        if (*to == '=') return true;
        if (*to == '<' || *to == '>' || *to == '\n') return false;
    }
    return false;
}

bool talks_about_comment(At at, At end) {
    static const char32_t* particles[] = {U"은", U"는", U"을", U"를", U"로", U"와", U"과", U"도", U"의", U"라고", U"처럼"};
    for (const char32_t* word : particles) {
        if (!starts_with(at, end, word)) continue;
        At after = at + std::char_traits<char32_t>::length(word);
        if (after >= end || !is_hangul(*after)) return true;
    }
    return false;
}

bool talks_about_tag(At at, At end) {
    at = skip_space(at, end);
    return starts_with(at, end, U"태그") || starts_with(at, end, U"요소") || starts_with(at, end, U"엘리먼트") ||
           same_word(at, end, "tag");
}

At skip_comment(At at, At end) {
    for (At to = at + 4; to < end; ++to) {
        if (starts_with(to, end, U"-->") && !talks_about_comment(to + 3, end)) return to + 3;
        if (starts_with(to, end, U"<!--")) return at;
    }
    return at;
}

At skip_raw(At at, At end) {
    const std::string_view name = same_word(at + 1, end, "script") ? "script" : same_word(at + 1, end, "style") ? "style" : "";
    if (name.empty()) return at;
    auto bounded = [&](At to) { return to >= end || !is_word(*to); };
    At to = at + 1 + name.size();
    if (!bounded(to)) return at;
    for (int n = 0; to < end && *to != '>'; ++to, ++n)
        if (*to == '<' || n == 500) return at;
    if (to >= end) return at;
    for (++to; to < end; ++to) {
        if (*to != '<') continue;
        if (to + 1 < end && to[1] == '/' && same_word(to + 2, end, name)) {
            At last = skip_space(to + 2 + name.size(), end);
            if (last < end && *last == '>') return last + 1;
        }
        if (same_word(to + 1, end, name) && bounded(to + 1 + name.size())) return at;
    }
    return at;
}

struct Tag {
    int name = -1;
    bool close = false, assigns = false;  // assigns: an attribute has a value
    At end = nullptr;
};

Tag read_tag(At at, At end) {
    Tag tag;
    At to = at + 1;
    tag.close = to < end && *to == '/';
    const int name = tag_name(to + tag.close, end, to);
    if (name < 0 || to >= end) return tag;
    if (is_space(*to)) {
        At first = ++to;
        while (to < end && to - first <= 1001 && *to != '<' && *to != '>' && *to != '\n') ++to;
        if (to >= end || *to != '>') return tag;
        At attributes_end = to;
        if (to - first > 1000) {  // one more only if it is the slash
            if (to - first != 1001 || to[-1] != '/') return tag;
            --attributes_end;
        }
        tag.assigns = std::find(first, attributes_end, u32{'='}) != attributes_end;
    } else {
        if (*to == '/') ++to;
        if (to >= end || *to != '>') return tag;
    }
    if (talks_about_tag(to + 1, end)) return tag;
    tag.name = name;
    tag.end = to + 1;
    return tag;
}

// Calls `take(from, to, tag)` for each match of _MARKUP that is not code; tag.name -1: a comment, a script, a style.
template <class Take>
void each_markup(const Chars& text, Take take) {
    At at = text.data(), end = at + text.size();
    while (at < end) {
        if (*at == '`') {
            At to = skip_code(at, end);
            at = to == at ? at + 1 : to;
            continue;
        }
        if (*at != '<') {
            ++at;
            continue;
        }
        At to = starts_with(at, end, U"<!--") ? skip_comment(at, end) : skip_raw(at, end);
        Tag tag;
        if (to == at) {
            tag = read_tag(at, end);
            if (tag.name >= 0) to = tag.end;
        }
        if (to == at) {
            ++at;
            continue;
        }
        take(at, to, tag);
        at = to;
    }
}

void strip_tags(Chars& text) {
    bool closed[BLOCKS + INLINES] = {};
    each_markup(text, [&](At, At, const Tag& tag) {
        if (tag.name >= 0 && tag.close) closed[tag.name] = true;
    });
    static thread_local Chars out;
    out.clear();
    out.reserve(text.size());
    At copied = text.data();
    each_markup(text, [&](At from, At to, const Tag& tag) {
        if (tag.name >= 0 && !(tag.close || closed[tag.name] || stands_alone(tag.name) || tag.assigns)) return;
        out.insert(out.end(), copied, from);
        if (tag.name >= 0 && tag.name < BLOCKS) out.push_back('\n');
        copied = to;
    });
    if (copied == text.data()) return;
    out.insert(out.end(), copied, At(text.data() + text.size()));
    text.swap(out);
}

// the end of `name;`, `#12;` or `#x1f;` at `at` (behind the &), or `at`
At skip_entity_name(At at, At end) {
    At to = at;
    if (to < end && is_letter(*to)) {
        while (to < end && to - at < 32 && (is_letter(*to) || is_digit(*to))) ++to;
        return to - at >= 2 && to < end && *to == ';' ? to + 1 : at;
    }
    if (to >= end || *to != '#') return at;
    ++to;
    if (to < end && (*to | 32) == 'x' && *to < 0x80) {
        At first = ++to;
        while (to < end && to - first < 6 && is_hex(*to)) ++to;
        return to > first && to < end && *to == ';' ? to + 1 : at;
    }
    At first = to;
    while (to < end && to - first < 7 && is_decimal(*to)) ++to;
    return to > first && to < end && *to == ';' ? to + 1 : at;
}

// `amp;`, `#38;` or `#x26;` with any zeros
At skip_ampersand_name(At at, At end) {
    if (starts_with(at, end, U"amp;")) return at + 4;
    if (at >= end || *at != '#') return at;
    At to = at + 1;
    const bool hex = to < end && (*to == 'x' || *to == 'X');
    to += hex;
    while (to < end && *to == '0') ++to;
    return starts_with(to, end, hex ? U"26;" : U"38;") ? to + 3 : at;
}

bool near_number(u32 c) { return is_space(c) || c == '=' || is_decimal(c); }

bool is_arrow(At at, At begin) { return at - begin >= 2 && at[-1] == '-' && at[-2] != '-'; }

// &lt;책 이름&gt;: the end, or `at`
At skip_quoted(At at, At end) {
    At to = at + 4;
    if (!starts_with(at, end, U"&lt;") || to >= end || !(is_hangul(*to) || is_space(*to) || is_decimal(*to))) return at;
    ++to;
    for (int n = 0; to < end && *to != '&'; ++to, ++n)
        if (n == 200 || *to == '<' || *to == '>' || *to == '`' || *to == '\n') return at;
    return starts_with(to, end, U"&gt;") ? to + 4 : at;
}

void strip_entities(Chars& text, const Known& known) {
    static thread_local Chars out;
    static thread_local Chars entity;
    out.clear();
    At begin = text.data(), end = begin + text.size(), at = begin, copied = begin;
    auto replace = [&](At from, At to) {
        out.insert(out.end(), copied, from);
        copied = to;
    };
    while (at < end) {
        if (*at == '`') {
            At to = skip_code(at, end);
            at = to == at ? at + 1 : to;
            continue;
        }
        if (*at != '&') {
            ++at;
            continue;
        }
        if (At to = skip_quoted(at, end); to != at) {
            replace(at, to);
            out.push_back('<');
            out.insert(out.end(), at + 4, to - 4);
            out.push_back('>');
            at = to;
            continue;
        }
        const bool less = starts_with(at, end, U"&lt;"), greater = starts_with(at, end, U"&gt;");
        if ((less || greater) && at + 4 < end && near_number(at[4]) && at > begin &&
            (less ? near_number(at[-1]) && at[-1] != '=' : near_number(at[-1]) || is_arrow(at, begin))) {
            replace(at, at + 4);
            out.push_back(less ? '<' : '>');
            at += 4;
            continue;
        }
        At amp = at + 1;
        for (At next; (next = skip_ampersand_name(amp, end)) != amp;) amp = next;
        if (amp != at + 1) {
            At to = skip_entity_name(amp, end);
            replace(at, to);
            if (to == amp) {
                out.push_back('&');
            } else {
                entity.assign(1, '&');
                entity.insert(entity.end(), amp, to);
                known(entity.data(), entity.size(), out);
            }
            at = to;
            continue;
        }
        At to = skip_entity_name(at + 1, end);
        if (to == at + 1) {
            ++at;
            continue;
        }
        replace(at, to);
        known(at, static_cast<std::size_t>(to - at), out);
        at = to;
    }
    if (copied == begin) return;
    out.insert(out.end(), copied, end);
    text.swap(out);
}

int hex_value(u32 c) { return static_cast<int>(is_digit(c) ? c - '0' : (c | 32) - 'a' + 10); }

// %EA%B0%80: three bytes of one character; its code, or 0
u32 percent_character(At at, At end) {
    if (end - at < 9 || at[0] != '%' || at[3] != '%' || at[6] != '%') return 0;
    for (int i : {1, 2, 4, 5, 7, 8})
        if (!is_hex(at[i])) return 0;
    const u32 b[3] = {static_cast<u32>(hex_value(at[1]) << 4 | hex_value(at[2])),
                      static_cast<u32>(hex_value(at[4]) << 4 | hex_value(at[5])),
                      static_cast<u32>(hex_value(at[7]) << 4 | hex_value(at[8]))};
    if (b[0] < 0xEA || b[0] > 0xED || b[1] < 0x80 || b[1] > 0xBF || b[2] < 0x80 || b[2] > 0xBF) return 0;
    return (b[0] & 15) << 12 | (b[1] & 63) << 6 | (b[2] & 63);
}

void strip_percent(Chars& text) {
    static thread_local Chars out, run;
    out.clear();
    At begin = text.data(), end = begin + text.size(), at = begin, copied = begin;
    while (at < end) {
        u32 c = percent_character(at, end);
        if (!c) {
            ++at;
            continue;
        }
        At to = at;
        bool hangul = true;
        run.clear();
        for (; (c = percent_character(to, end)) != 0; to += 9) {
            hangul &= is_hangul(c);
            run.push_back(c);
        }
        if (hangul) {
            out.insert(out.end(), copied, at);
            out.insert(out.end(), run.begin(), run.end());
            copied = to;
        }
        at = to;
    }
    if (copied == begin) return;
    out.insert(out.end(), copied, end);
    text.swap(out);
}

}  // namespace

bool markup_suspicious(const Chars& text) {
    At at = text.data(), end = at + text.size();
    for (; at + 1 < end; ++at) {
        const u32 c = *at, next = at[1];
        if (c == '<' && (is_letter(next) || next == '/' || next == '!')) return true;
        if (c == '&' && (is_letter(next) || next == '#')) return true;
        if (c == '%' && (next == 'E' || next == 'e') && at + 3 < end && at[3] == '%' && at[2] < 0x80 && (at[2] | 32) >= 'a' &&
            (at[2] | 32) <= 'd')
            return true;
    }
    return false;
}

bool strip_markup(Chars& text, const Known& known) {
    bool less = false, amp = false, percent = false, folds = false;
    for (u32 c : text) {
        less |= c == '<';
        amp |= c == '&';
        percent |= c == '%';
        // İ ı ſ K are i, s and k to Python's case-insensitive patterns
        folds |= c == 0x130 || c == 0x131 || c == 0x17F || c == 0x212A;
    }
    if (less) {
        if (folds) return false;
        At at = text.data(), end = at + text.size();
        while (at < end && !(*at == '<' && is_paired(at, end))) ++at;
        if (at < end) strip_tags(text);
    }
    if (amp) strip_entities(text, known);
    if (percent || amp) strip_percent(text);  // an entity may have hidden the sign
    return true;
}

}  // namespace kodata
