#include "normal.hpp"

#include <algorithm>

#include "layout.hpp"

namespace kodata {

namespace {

using At = const u32*;
constexpr int MAX_ROUNDS = 5;

}  // namespace

bool is_high(u32 c) {
    if (c >= 0x80 && c <= 0xFF) return true;
    switch (c) {
        case 0x20AC: case 0x201A: case 0x192: case 0x201E: case 0x2026: case 0x2020: case 0x2021: case 0x2C6: case 0x2030:
        case 0x160: case 0x2039: case 0x152: case 0x17D: case 0x2018: case 0x2019: case 0x201C: case 0x201D: case 0x2022:
        case 0x2013: case 0x2014: case 0x2DC: case 0x2122: case 0x161: case 0x203A: case 0x153: case 0x17E: case 0x178:
            return true;
        default: return false;
    }
}

namespace {

bool mojibake_begins(At at, At end) {
    const u32 c = *at;
    if (c < 0x80 || c > 0xFF || at + 1 >= end) return false;
    const u32 next = at[1];
    if (!is_high(next)) return false;
    if (at + 2 < end && is_high(at[2])) return true;
    switch (c) {
        case 0xEC: case 0xED: case 0xEB: case 0xEA: case 0xE3: case 0xE2: return true;  // ì í ë ê ã â
        case 0xC3: return next <= 0xFF;                                                // Ã
        case 0xC2: return next >= 0xA0 && next <= 0xFF;                                // Â
        default: return false;
    }
}

enum class Mode { prose, cleaned };

struct Work {
    Chars piece, result, done, previous, code;
};

Work& work() {
    static thread_local Work made;
    return made;
}

// Canonical equivalents of single compatibility ideographs, which no neighbour changes.
u32 compatibility(u32 c) { return c >= 0xF900 && c <= 0xFAFF ? tables().ideographs[c - 0xF900] : c; }

struct Seen {
    bool joiner = false, filler = false;
};

Seen translate(Chars& text, const std::vector<u32>& table) {
    Seen seen;
    u32* to = text.data();
    for (u32 c : text) {
        if (c < 0x10000) c = table[c];
        if (c == GONE) continue;
        *to++ = c;
        seen.joiner |= c == 0x200D;
        seen.filler |= c == 0x115F || c == 0x1160;
    }
    text.resize(static_cast<std::size_t>(to - text.data()));
    return seen;
}

void compose(Chars& text, const Callbacks& python) {
    bool sure = true;
    for (u32& c : text) {
        c = compatibility(c);
        sure &= nfc_alone(c);
    }
    if (!sure) python.nfc(text);
}

bool is_emoji_joint(u32 c) {
    return c == 0xA9 || c == 0xAE || (c >= 0x203C && c <= 0x2049) || (c >= 0x2122 && c <= 0x2BFF) || c == 0x3030 || c == 0x303D ||
           c == 0x3297 || c == 0x3299 || c == 0xFE0F || (c >= 0x1F000 && c <= 0x1FAFF);
}

// joiners that join no emoji
void drop_joiners(Chars& text) {
    std::size_t to = 0;
    u32 before = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const u32 c = text[i];
        const bool joins = c == 0x200D && i > 0 && is_emoji_joint(before) && i + 1 < text.size() && is_emoji_joint(text[i + 1]);
        before = c;
        if (c != 0x200D || joins) text[to++] = c;
    }
    text.resize(to);
}

// fillers of old Hangul that fill no syllable
void drop_fillers(Chars& text) {
    std::size_t to = 0;
    u32 before = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const u32 c = text[i], next = i + 1 < text.size() ? text[i + 1] : 0;
        const bool lone = (c == 0x115F && !((next >= 0x1161 && next <= 0x11A7) || (next >= 0xD7B0 && next <= 0xD7C6))) ||
                          (c == 0x1160 && !((before >= 0x1100 && before <= 0x115E) || (before >= 0xA960 && before <= 0xA97C)));
        before = c;
        if (!lone) text[to++] = c;
    }
    text.resize(to);
}

u8 signs_of(const Chars& text) {
    const u8* known = tables().signs.data();
    u8 signs = 0;
    for (u32 c : text) signs |= c < 0x10000 ? known[c] : static_cast<u8>((nfc_alone(c) ? 0 : UNSURE) | EMOJI);
    return signs;
}

// returns the signs of what the text is then
u8 characters(Chars& text, const Callbacks& python) {
    const u8 signs = signs_of(text);
    if (!(signs & (TRANSLATED | UNSURE | JOINING))) return signs;
    const Seen seen = translate(text, tables().prose);
    if (seen.joiner) drop_joiners(text);
    if (seen.filler) drop_fillers(text);
    compose(text, python);
    return EMOJI;
}

bool change(Chars& piece, Mode mode, const Callbacks& python) {
    if (mode == Mode::cleaned) {
        if (repair_suspicious(piece.data(), piece.size())) return false;
        characters(piece, python);
        if (markup_suspicious(piece) && !strip_markup(piece, python.known)) return false;
    }
    lay_out(piece, characters(piece, python) & EMOJI);
    return true;
}

bool has_fence_mark(const Chars& text) {
    for (std::size_t i = 0; i + 2 < text.size(); ++i)
        if ((text[i] == '`' || text[i] == '~') && text[i + 1] == text[i] && text[i + 2] == text[i]) return true;
    return false;
}

// Newlines, then each piece between fences and each fence by its rules; the result stands in work().result.
bool outside_code(const Chars& text, Mode mode, const Callbacks& python) {
    Work& w = work();
    Chars &source = w.code, &out = w.result, &piece = w.piece;
    if (std::find(text.begin(), text.end(), u32{'\r'}) == text.end()) {
        source = text;
    } else {
        source.clear();
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (text[i] != '\r') {
                source.push_back(text[i]);
            } else if (i + 1 >= text.size() || text[i + 1] != '\n') {
                source.push_back('\n');
            }
        }
    }
    out.clear();
    if (has_fence_mark(source)) {
        bool fine = true;
        each_piece(source, [&](At from, At to, bool fenced) {
            if (!fine) return;
            piece.assign(from, to);
            if (fenced) {
                translate(piece, tables().code);
                compose(piece, python);
                trim_fences(piece);
            } else {
                fine = change(piece, mode, python);
            }
            out.insert(out.end(), piece.begin(), piece.end());
        });
        if (!fine) return false;
    } else {
        piece.swap(source);
        if (!change(piece, mode, python)) return false;
        out.swap(piece);
    }
    while (!out.empty() && is_space(out.back())) out.pop_back();
    const auto first = std::find_if(out.begin(), out.end(), [](u32 c) { return c != '\n'; });
    out.erase(out.begin(), first);
    return true;
}

bool plain(Chars& text, const Callbacks& python) {
    Chars& result = work().result;
    if (!outside_code(text, Mode::prose, python)) return false;
    text = result;
    for (int i = 0; has_fence_mark(text) && i < MAX_ROUNDS; ++i) {
        if (!outside_code(text, Mode::prose, python)) return false;
        if (result == text) break;
        text = result;
    }
    return true;
}

bool suspicious(const Chars& text) { return repair_suspicious(text.data(), text.size()) || markup_suspicious(text); }

}  // namespace

void mark_signs(Tables& made) {
    made.signs.assign(0x10000, 0);
    for (u32 c = 0; c < 0x10000; ++c) {
        const bool watched = c == ' ' || c == '`' || c == '<' || c == '&' || c == '%';
        const bool suspect = c == 0x5360 || (c >= 0x80 && c <= 0xFF) || (is_hangul(c) && !ksx_syllable(c));
        const bool running = c == '\n' || is_run(c) || is_mixed_run(c);
        made.signs[c] = static_cast<u8>((made.prose[c] != c ? TRANSLATED : 0) | (nfc_alone(c) ? 0 : UNSURE) |
                                        (c == 0x200D || c == 0x115F || c == 0x1160 ? JOINING : 0) | (is_emoji(c) ? EMOJI : 0) |
                                        (c == '\t' || c == '\r' ? BLANK : 0) | (watched ? WATCHED : 0) |
                                        (suspect ? SUSPECT : 0) | (running ? RUNNING : 0));
    }
}

bool nfc_alone(u32 c) {
    if (c < 0x300 || is_hangul(c)) return true;
    if (c < 0x1100) return (c >= 0x386 && c <= 0x482 && c != 0x387) || (c >= 0x48A && c <= 0x52F);
    if (c < 0x1200) return c <= 0x1160 || (c >= 0x1176 && c <= 0x11A7) || c >= 0x11C3;
    if (c < 0x2002) return false;
    if (c <= 0x20CF) return true;
    if (c < 0x2C00) return c >= 0x2100 && c != 0x2126 && c != 0x212A && c != 0x212B && c != 0x2329 && c != 0x232A && c != 0x2ADC;
    if (c < 0x3000) return false;
    if (c < 0x3400) return !(c >= 0x302A && c <= 0x302F) && c != 0x3099 && c != 0x309A;
    if (c < 0xA000) return true;
    if (c < 0xE000) return false;
    if (c < 0xF900) return true;  // private use
    if (c < 0xFB00) return tables().ideographs[c - 0xF900] == c;
    if (c < 0x10000) return (c >= 0xFF00 && c <= 0xFFFF) || c == 0xFE0F;
    return (c >= 0x1F000 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x2A6DF);
}

bool repair_suspicious(const u32* text, std::size_t n) {
    const u8* signs = tables().signs.data();
    At end = text + n, window = text + std::min(n, RARE_WINDOW);
    std::size_t rare = 0;
    for (At at = text; at < end; ++at) {
        if (*at >= 0x10000 || !(signs[*at] & SUSPECT)) continue;
        if (mojibake_begins(at, end) || (*at == 0x5360 && at + 1 < end && at[1] == 0xC3D9)) return true;  // 占쏙
        rare += at < window && is_hangul(*at) && !ksx_syllable(*at);
    }
    if (rare < LEAST_RARE) return false;
    const auto hangul = std::count_if(text, window, is_hangul);
    return static_cast<double>(rare) / static_cast<double>(hangul) > 0.02;
}

bool normalise(Chars& text, const Callbacks& python) {
    if (repair_suspicious(text.data(), text.size())) return false;  // Python's path from the start
    Work& w = work();
    Chars& current = w.previous;
    if (!markup_suspicious(text)) {
        w.done = text;
        if (!plain(w.done, python)) return false;
        if (!suspicious(w.done)) {
            text.swap(w.done);
            return true;
        }
    }
    current = text;
    for (int i = 0; i < MAX_ROUNDS; ++i) {
        if (!outside_code(current, Mode::cleaned, python)) return false;
        if (w.result == current) {
            text.swap(current);
            return true;
        }
        current.swap(w.result);
    }
    return plain(text, python);  // it never settles: character and layout rules only
}

}  // namespace kodata
