#include "layout.hpp"

#include <algorithm>

namespace kodata {

namespace {

using At = const u32*;
constexpr std::size_t KEEP_RUN = 3, KEEP_MIXED = 6;

bool is_blank(u32 c) { return c == ' ' || c == '\t'; }

}  // namespace

bool is_run(u32 c) {
    if (c >= 0x3131 && c <= 0x3163) return true;
    switch (c) {
        case '!': case '?': case '~': case '.': case U'하': case U'호': case U'히': case U'흐': case U'크': case U'허': case U'헤':
        case U'캬':
            return true;
        default: return false;
    }
}

bool is_mixed_run(u32 c) {
    switch (c) {
        case U'ㅋ': case U'ㅎ': case U'ㅠ': case U'ㅜ': case U'ㅡ': case U'ㅇ': case U'ㄷ': return true;
        default: return false;
    }
}

bool is_emoji(u32 c) { return c == 0x2661 || c == 0x2665 || c == 0x2763 || c == 0x2764 || (c >= 0x1F300 && c <= 0x1FAFF); }

namespace {

bool is_tone(u32 c) { return c >= 0x1F3FB && c <= 0x1F3FF; }

void shorten_runs(Chars& text) {
    std::size_t to = 0;
    for (std::size_t i = 0; i < text.size();) {
        const u32 c = text[i];
        std::size_t end = i + 1;
        while (end < text.size() && text[end] == c) ++end;
        const std::size_t kept = is_run(c) ? std::min(end - i, KEEP_RUN) : end - i;
        for (std::size_t k = 0; k < kept; ++k) text[to++] = c;
        i = end;
    }
    text.resize(to);
}

// how often the unit of `n` characters at `at` stands there in a row
std::size_t repeats(At at, At end, std::size_t n) {
    std::size_t count = 1;
    for (At next = at + n; static_cast<std::size_t>(end - next) >= n && std::equal(at, at + n, next); next += n) ++count;
    return count;
}

void shorten_emoji(Chars& text) {
    std::size_t to = 0;
    At end = text.data() + text.size();
    for (std::size_t i = 0; i < text.size();) {
        At at = text.data() + i;
        std::size_t unit = 0, count = 0;
        if (is_emoji(*at)) {
            std::size_t units[3];
            int n = 0;
            const std::size_t left = static_cast<std::size_t>(end - at);
            if (left > 2 && at[1] == 0xFE0F && is_tone(at[2])) units[n++] = 3;
            if (left > 1 && (at[1] == 0xFE0F || is_tone(at[1]))) units[n++] = 2;
            units[n++] = 1;
            for (int k = 0; k < n && !unit; ++k)
                if ((count = repeats(at, end, units[k])) > KEEP_RUN) unit = units[k];
        }
        if (!unit) {
            text[to++] = text[i++];
            continue;
        }
        std::copy(at, at + KEEP_RUN * unit, text.data() + to);
        to += KEEP_RUN * unit;
        i += count * unit;
    }
    text.resize(to);
}

void shorten_mixed(Chars& text) {
    std::size_t to = 0, run = 0;
    for (u32 c : text) {
        run = is_mixed_run(c) ? run + 1 : 0;
        if (run <= KEEP_MIXED) text[to++] = c;
    }
    text.resize(to);
}

void trim_lines(Chars& text) {
    std::size_t to = 0, solid = 0;  // solid: behind the last character of the line that is not white space
    for (u32 c : text) {
        if (c == '\n') {
            to = solid;
            text[to++] = c;
            solid = to;
        } else {
            text[to++] = c;
            if (!is_space(c)) solid = to;
        }
    }
    text.resize(solid);
}

void narrow_gaps(Chars& text) {
    std::size_t to = 0;
    for (std::size_t i = 0; i < text.size();) {
        if (!is_blank(text[i])) {
            text[to++] = text[i++];
            continue;
        }
        std::size_t end = i;
        while (end < text.size() && is_blank(text[end])) ++end;
        const u32 before = to ? text[to - 1] : u32{'\n'};
        const bool gap = end - i >= 2 && end < text.size() &&
                         ((is_hangul(before) && !is_space(text[end])) || (!is_space(before) && is_hangul(text[end])));
        if (gap) {
            text[to++] = ' ';
        } else {
            for (std::size_t k = i; k < end; ++k) text[to++] = text[k];
        }
        i = end;
    }
    text.resize(to);
}

void drop_deep_indents(Chars& text) {
    std::size_t to = 0;
    for (std::size_t i = 0; i < text.size();) {
        if (!is_blank(text[i]) || (to && text[to - 1] != '\n')) {
            text[to++] = text[i++];
            continue;
        }
        std::size_t end = i;
        while (end < text.size() && is_blank(text[end])) ++end;
        if (end - i < 20) {
            for (std::size_t k = i; k < end; ++k) text[to++] = text[k];
        }
        i = end;
    }
    text.resize(to);
}

void drop_blank_lines(Chars& text) {
    std::size_t to = 0, run = 0;
    for (u32 c : text) {
        run = c == '\n' ? run + 1 : 0;
        if (run <= 2) text[to++] = c;
    }
    text.resize(to);
}

// The mark of a fence: ``` or ~~~ and longer, of which one line is made; length 0 for another line.
struct Fence {
    u32 mark = 0;
    std::size_t length = 0;
};

Fence fence(At at, At end) {
    while (at < end && is_blank(*at)) ++at;
    if (at == end || (*at != '`' && *at != '~')) return {};
    Fence found{*at, 0};
    while (at < end && *at == found.mark) ++at, ++found.length;
    if (found.length < 3) return {};
    if (found.mark == '`') return std::find(at, end, u32{'`'}) == end ? found : Fence{};
    while (at < end && is_blank(*at)) ++at;
    while (at < end && (is_word(*at) || *at == '+' || *at == '#' || *at == '.' || *at == '-')) ++at;
    while (at < end && is_blank(*at)) ++at;
    return at == end ? found : Fence{};
}

bool closes(At at, At end, Fence opening) {
    while (at < end && is_blank(*at)) ++at;
    while (at < end && is_blank(end[-1])) --end;
    return static_cast<std::size_t>(end - at) >= opening.length &&
           std::all_of(at, end, [&](u32 c) { return c == opening.mark; });
}

}  // namespace

namespace {

// What of the layout rules a text needs.
struct Needs {
    bool runs = false, mixed = false, ends = false, gaps = false, empty = false;
};

void see_runs(const Chars& text, Needs& needs) {
    const u8* signs = tables().signs.data();
    u32 before = 0;
    std::size_t same = 0, jamo = 0;
    for (u32 c : text) {
        if (c >= 0x10000 || !(signs[c] & RUNNING)) {
            before = 0;
            jamo = 0;
            continue;
        }
        same = c == before ? same + 1 : 1;
        before = c;
        jamo = is_mixed_run(c) ? jamo + 1 : 0;
        needs.mixed |= jamo > KEEP_MIXED;
        if (c == '\n') {
            needs.empty |= same > 2;
        } else {
            needs.runs |= same > KEEP_RUN;
        }
    }
}

// No branches: nearly every fourth character is a blank.
void see_blanks(const Chars& text, Needs& needs) {
    unsigned ends = 0, gaps = 0;
    const std::size_t last = text.size() - 1;
    for (std::size_t i = 0; i < last; ++i) {
        const u32 c = text[i], next = text[i + 1];
        const unsigned space = c == ' ', tab = c == '\t';
        ends |= (space | tab) & unsigned{next == '\n'};
        gaps |= tab | (space & unsigned{next == ' '});
    }
    needs.gaps = gaps || text[last] == '\t';
    needs.ends = ends || (text[last] != '\n' && is_space(text[last]));
}

}  // namespace

void lay_out(Chars& text, bool emoji) {
    if (text.empty()) return;
    Needs needs;
    see_runs(text, needs);
    see_blanks(text, needs);
    const auto [runs, mixed, ends, gaps, empty] = needs;
    if (runs) shorten_runs(text);
    if (emoji) shorten_emoji(text);
    if (mixed) shorten_mixed(text);  // shorter runs of one letter make no longer ones of several
    if (ends) trim_lines(text);
    if (gaps) {
        narrow_gaps(text);
        drop_deep_indents(text);
    }
    if (empty || ends) drop_blank_lines(text);
}

void each_piece(const Chars& text, const std::function<void(At, At, bool)>& take) {
    std::vector<std::size_t> starts{0};  // of the lines
    for (std::size_t i = 0; i < text.size(); ++i)
        if (text[i] == '\n') starts.push_back(i + 1);
    const std::size_t lines = starts.size();
    At data = text.data();
    auto line_end = [&](std::size_t line) { return data + (line + 1 < lines ? starts[line + 1] - 1 : text.size()); };
    auto piece_start = [&](std::size_t line) {  // the newline after a fence belongs to the prose
        return line ? (line < lines ? data + starts[line] - 1 : data + text.size()) : data;
    };
    std::size_t never[2] = {text.size() + 1, text.size() + 1};
    std::size_t start = 0;
    for (std::size_t line = 0; line < lines; ++line) {
        const Fence opening = fence(data + starts[line], line_end(line));
        if (!opening.length || opening.length >= never[opening.mark == '~']) continue;
        std::size_t end = line + 1;
        while (end < lines && !closes(data + starts[end], line_end(end), opening)) ++end;
        if (end == lines) {
            never[opening.mark == '~'] = opening.length;
            continue;
        }
        take(piece_start(start), data + starts[line], false);
        take(data + starts[line], line_end(end), true);
        start = end + 1;
        line = end;
    }
    take(piece_start(start), data + text.size(), false);
}

void trim_fences(Chars& text) {
    std::size_t to = 0, i = 0;
    for (;;) {
        std::size_t end = i;
        while (end < text.size() && text[end] != '\n') ++end;
        std::size_t last = end;
        if (fence(text.data() + i, text.data() + end).length)
            while (last > i && is_space(text[last - 1])) --last;
        for (std::size_t k = i; k < last; ++k) text[to++] = text[k];
        if (end == text.size()) break;
        text[to++] = '\n';
        i = end + 1;
    }
    text.resize(to);
}

}  // namespace kodata
