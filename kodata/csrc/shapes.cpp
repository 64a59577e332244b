#include "shapes.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace kodata {

namespace {

using At = const u32*;

bool digit(u32 c) { return c >= '0' && c <= '9'; }
bool letter(u32 c) { return c < 0x80 && (c | 32) >= 'a' && (c | 32) <= 'z'; }
bool dash(u32 c) { return c == '-' || (c >= 0x2010 && c <= 0x2013) || c == 0x2212; }
// what may stand between the groups of a number
bool between(u32 c) { return c == ' ' || c == '(' || c == ')' || c == '.' || c == 0xB7 || dash(c); }

constexpr std::size_t LONGEST_GAP = 8;

// Groups of digits with nothing but separators between them, as they come.
struct Group {
    At start, end;
    std::size_t size() const { return static_cast<std::size_t>(end - start); }
};

// groups of these lengths one after the other, the last of them the newest
template <class... N>
bool lengths(const Group* last, std::size_t known, N... expected) {
    const std::size_t wanted[] = {static_cast<std::size_t>(expected)...};
    constexpr std::size_t n = sizeof...(expected);
    if (known < n) return false;
    for (std::size_t i = 0; i < n; ++i)
        if (last[static_cast<std::ptrdiff_t>(i) - static_cast<std::ptrdiff_t>(n) + 1].size() != wanted[i]) return false;
    return true;
}

bool joined(const Group* last, std::size_t n, u32 by) {  // each gap is that one character
    for (std::size_t i = 1; i < n; ++i) {
        const Group &a = *(last - i), &b = *(last - i + 1);
        if (b.start - a.end != 1 || *a.end != by) return false;
    }
    return true;
}

// Which numbers of a person may end with the newest of `known` groups (`end`: of the text).
unsigned numbers_at(const Group* last, std::size_t known, At end) {
    const std::size_t n = last->size();
    const auto line = [](const Group& g) { return *g.start == '0' || (g.size() >= 2 && g.start[0] == '8' && g.start[1] == '2'); };
    unsigned kinds = 0;
    if (n >= 9 && line(*last)) kinds |= SHAPE_PHONE;
    if (n >= 10 && n <= 14) kinds |= SHAPE_ACCOUNT;
    if (n == 10 || lengths(last, known, 3, 2, 5)) kinds |= SHAPE_BUSINESS;
    if (n == 13 || lengths(last, known, 6, 7)) kinds |= SHAPE_RESIDENT;
    if (n == 15 || n == 16 || lengths(last, known, 4, 4, 4, 4) || lengths(last, known, 4, 6, 5)) kinds |= SHAPE_CARD;
    if (lengths(last, known, 2, 6, 2)) kinds |= SHAPE_DRIVER;
    if (n == 6) {  // 800101-1******
        At at = last->end;
        for (int i = 0; i < 3 && at < end && (*at == ' ' || dash(*at)); ++i) ++at;
        if (at + 1 < end && digit(*at) && at[1] == '*') kinds |= SHAPE_RESIDENT;
    }
    if (n == 7 && last->end < end && *last->end == '*') kinds |= SHAPE_RESIDENT;
    if (lengths(last, known, 4, 4)) {  // 1588-1234
        const Group& first = last[-1];
        if (*first.start == '1' && last->start - first.end == 1 && dash(*first.end)) kinds |= SHAPE_PHONE;
    }
    std::size_t digits = n;
    for (std::size_t i = 1; i < std::min<std::size_t>(known, 6); ++i) {
        const Group& first = *(last - i);
        digits += first.size();
        if (digits > 14) break;
        if (digits >= 9 && n >= 4 && line(first)) kinds |= SHAPE_PHONE;
        if (digits >= 10 && i <= 3 && joined(last, i + 1, '-')) kinds |= SHAPE_ACCOUNT;
    }
    if (known >= 4 && joined(last, 4, '.') && n <= 3 && last[-1].size() <= 3 && last[-2].size() <= 3 && last[-3].size() <= 3)
        kinds |= SHAPE_IP;
    return kinds;
}

unsigned numbers(At text, At end) {
    unsigned kinds = 0;
    constexpr std::size_t window = 6;
    Group groups[2 * window];
    std::size_t known = 0;  // of the chain, the newest at groups[known - 1]
    for (At at = text; at < end;) {
        if (!digit(*at)) {
            ++at;
            continue;
        }
        At to = at;
        while (to < end && digit(*to)) ++to;
        if (known) {
            At gap = groups[known - 1].end;
            if (static_cast<std::size_t>(at - gap) > LONGEST_GAP || !std::all_of(gap, at, between)) known = 0;
        }
        if (known == 2 * window) {
            std::copy(groups + window, groups + 2 * window, groups);
            known = window;
        }
        groups[known++] = {at, to};
        kinds |= numbers_at(groups + known - 1, known, end);
        at = to;
    }
    return kinds;
}

bool is_plate_letter(u32 c) {
    static constexpr char32_t letters[] = U"가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주바사아자배하허호";
    return std::find(std::begin(letters), std::end(letters) - 1, static_cast<char32_t>(c)) != std::end(letters) - 1;
}

bool all_digits(At at, At end, std::size_t n) {
    return static_cast<std::size_t>(end - at) >= n && std::all_of(at, at + n, digit);
}

bool begins_passport(At at, At end) {
    switch (*at) {
        case 'M': case 'S': case 'R': case 'G': case 'D': break;
        default: return false;
    }
    if (!all_digits(at + 1, end, 3) || end - at < 9) return false;
    return all_digits(at + 4, end, 5) || (at[4] >= 'A' && at[4] <= 'Z' && all_digits(at + 5, end, 4));
}

bool begins_plate(At at, At end) {
    if (!all_digits(at, end, 2) || at + 2 >= end || !is_plate_letter(at[2])) return false;
    At to = at + 3;
    if (to < end && is_space(*to)) ++to;
    return all_digits(to, end, 4);
}

// a host name, at least up to its first dot
bool begins_host(At at, At end) {
    At to = at;
    while (to < end && to - at <= 64 && (letter(*to) || digit(*to) || *to == '-')) ++to;
    return to > at && to + 1 < end && *to == '.' && (letter(to[1]) || digit(to[1]));
}

// @ and the ways people write it; a host follows
bool is_at_sign(At at, At end) {
    At to = at;
    switch (*at) {
        case '@': to = at + 1; break;
        case U'골': to = starts_with(at, end, U"골뱅이") ? at + 3 : at; break;
        case U'앳': to = at + 1; break;
        case '(': to = starts_with(at, end, U"(at)") ? at + 4 : at; break;
        case '[': to = starts_with(at, end, U"[at]") ? at + 4 : at; break;
        case ' ': to = starts_with(at, end, U" at ") ? at + 4 : at; break;
        default: return false;
    }
    if (to == at) return false;
    if (to < end && *to == ' ') ++to;
    return begins_host(to, end);
}

bool begins_province(At at, At end) {
    if (at + 1 >= end) return false;
    const u32 b = at[1];
    switch (*at) {
        case U'서': return b == U'울';
        case U'부': return b == U'산';
        case U'대': return b == U'구' || b == U'전';
        case U'인': return b == U'천';
        case U'광': return b == U'주';
        case U'울': return b == U'산';
        case U'세': return b == U'종';
        case U'경': return b == U'기' || b == U'북' || b == U'남' || b == U'상';
        case U'강': return b == U'원';
        case U'충': return b == U'북' || b == U'남' || b == U'청';
        case U'전': return b == U'북' || b == U'남' || b == U'라';
        case U'제': return b == U'주';
        default: return false;
    }
}

// Is the number at `at` that of a house: right behind a road or a district, 산 and 지하 left aside?
bool is_house(At at, At from) {
    auto back = [&] {
        while (at > from && is_space(at[-1])) --at;
    };
    back();
    if (at > from && at[-1] == U'산') {
        --at;
    } else if (at > from + 1 && at[-1] == U'하' && at[-2] == U'지') {
        at -= 2;
    }
    back();
    if (at == from) return false;
    switch (at[-1]) {
        case U'로': case U'길': case U'동': case U'리': case U'가': return true;
        default: return false;
    }
}

// Province, blanks, and a house number within the next words, nothing but Hangul, digits, dots and blanks between.
bool begins_address(At at, At end) {
    constexpr int most_words = 8;
    At to = at + 2;
    for (int i = 0; i < 6 && to < end && is_hangul(*to); ++i) ++to;
    if (to >= end || !is_space(*to)) return false;
    At from = to;
    int words = 0;
    for (; to < end; ++to) {
        if (is_space(*to)) {
            if (!is_space(to[-1]) && ++words > most_words) return false;
        } else if (*to >= '1' && *to <= '9') {
            if (is_house(to, from)) return true;
        } else if (!(is_hangul(*to) || *to == '0' || *to == '.' || *to == 0xB7)) {
            return false;
        }
    }
    return false;
}

}  // namespace

namespace {

// Where a look further on is worth while: digits, letters of passports, ways to write @, first syllables of provinces.
enum Start : u8 { DIGIT_START = 1, PASSPORT_START = 2, AT_START = 4, SPACED_AT_START = 8, PROVINCE_START = 16 };

struct Starts {
    std::array<u8, 0x10000> at{};

    Starts() {
        for (u32 c = '0'; c <= '9'; ++c) at[c] = DIGIT_START;
        for (char32_t c : std::u32string_view(U"MSRGD")) at[c] = PASSPORT_START;
        for (char32_t c : std::u32string_view(U"@골앳([")) at[c] = AT_START;
        at['a'] = SPACED_AT_START;
        for (char32_t c : std::u32string_view(U"서부대인광울세경강충전제")) at[c] = PROVINCE_START;
    }
};

}  // namespace

unsigned shapes(const u32* text, std::size_t n) {
    static const Starts starts;
    At end = text + n;
    unsigned bits = 0;
    bool digits = false;
    for (At at = text; at < end; ++at) {
        const u8 start = *at < 0x10000 ? starts.at[*at] : 0;
        if (!start) continue;
        if (start & DIGIT_START) {
            digits = true;
            if (!(bits & SHAPE_PLATE) && begins_plate(at, end)) bits |= SHAPE_PLATE;
        } else if (start & PASSPORT_START) {
            if (!(bits & SHAPE_PASSPORT) && begins_passport(at, end)) bits |= SHAPE_PASSPORT;
        } else if (start & PROVINCE_START) {
            if (!(bits & SHAPE_ADDRESS) && begins_province(at, end) && begins_address(at, end)) bits |= SHAPE_ADDRESS;
        } else if (!(bits & SHAPE_AT)) {
            const bool spaced = start & SPACED_AT_START;  // " at ", seen at its a
            if (spaced ? at > text && at[-1] == ' ' && is_at_sign(at - 1, end) : is_at_sign(at, end)) bits |= SHAPE_AT;
        }
    }
    const unsigned kinds = digits ? numbers(text, end) : 0;
    return bits | kinds | (kinds ? SHAPE_NUMBER : 0u);
}

bool has_jamo_run(const u32* text, std::size_t n) {
    std::size_t run = 0;
    for (std::size_t i = 0; i < n; ++i) {
        run = text[i] >= 0x3131 && text[i] <= 0x3163 ? run + 1 : 0;
        if (run == 4) return true;
    }
    return false;
}

}  // namespace kodata
