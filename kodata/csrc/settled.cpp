#include "settled.hpp"

#include "layout.hpp"
#include "normal.hpp"

namespace kodata {

namespace {

template <class T>
struct Scan {
    const T* text;
    std::size_t n;
    std::size_t rare = 0;

    u32 at(std::size_t i) const { return i < n ? text[i] : 0; }

    // are the `count` characters before place i all c?
    bool follows(std::size_t i, std::size_t count, u32 c) const {
        if (i < count) return false;
        for (std::size_t k = 1; k <= count; ++k)
            if (text[i - k] != c) return false;
        return true;
    }

    bool mixed_run_ends(std::size_t i) const {
        constexpr std::size_t most = 6;
        if (i < most) return false;
        for (std::size_t k = 0; k <= most; ++k)
            if (!is_mixed_run(text[i - k])) return false;
        return true;
    }

    // May the normal form change what stands at place i, a character that is LOOKED_AT?
    bool changes(std::size_t i) {
        const u32 c = text[i], next = at(i + 1);
        switch (c) {
            case ' ': return i + 1 == n || next == ' ' || next == '\n';
            case '\n': return i == 0 || i + 1 == n || follows(i, 2, '\n');
            case '`': case '~': return follows(i, 2, c);  // a fence
            case '<': return (next < 0x80 && (next | 32) >= 'a' && (next | 32) <= 'z') || next == '/' || next == '!';
            case '&': return (next < 0x80 && (next | 32) >= 'a' && (next | 32) <= 'z') || next == '#';
            case '%': return next == 'E' || next == 'e';
            case 0x5360: return next == 0xC3D9;  // 占쏙
            default: break;
        }
        if (c >= 0x80 && c <= 0xFF) return is_high(next);  // mojibake needs a second such character
        if (is_run(c) && follows(i, 3, c)) return true;
        if (is_mixed_run(c)) return mixed_run_ends(i);
        if (is_hangul(c) && !ksx_syllable(c)) return i < RARE_WINDOW && ++rare >= LEAST_RARE;
        return false;
    }

    bool settled() {
        const u8* signs = tables().signs.data();
        for (std::size_t i = 0; i < n; ++i) {
            const u8 sign = signs[text[i]];
            if (sign && ((sign & ~LOOKED_AT) || changes(i))) return false;
        }
        return true;
    }
};

}  // namespace

bool settled(const Text& text) {
    if (text.kind == 1) return Scan<std::uint8_t>{static_cast<const std::uint8_t*>(text.data), text.length}.settled();
    if (text.kind == 2) return Scan<std::uint16_t>{static_cast<const std::uint16_t*>(text.data), text.length}.settled();
    return false;  // characters beyond the basic plane, mostly emoji
}

}  // namespace kodata
