#include "measure.hpp"

#include <algorithm>

#include "prose.hpp"
#include "repetition.hpp"

namespace kodata {

// The constants of kodata/text/measure.py.
static bool is_closer(u32 c) {
    switch (c) {
        case '.': case '!': case '?': case ':': case ';': case 0x3002: case 0xFF01: case 0xFF1F: case 0x2026: case 0x2025: case 0x22EF:
            return true;
        default: return false;
    }
}

static bool among(u32 c, const char32_t* set) {
    for (; *set; ++set)
        if (c == static_cast<u32>(*set)) return true;
    return false;
}

static bool is_trailer(u32 c) { return among(c, U"\"'”’」』)）)]】》〉*_~♡♥^ㅋㅎㅠㅜ "); }
static bool is_ending(u32 c) { return among(c, U"다요죠까네라군걸나지음함됨임"); }
static bool is_bullet(u32 c) { return among(c, U"-*•·ㆍ‧◆■▶○●※◇□▷►"); }
static bool is_stop_syllable(u32 c) { return among(c, U"의다이는에을한년하은를고가인월로되"); }
static bool is_word_punctuation(u32 c) { return among(c, U".,!?\"”’)"); }

// [가-힣](?:ending)[.,!?"”’)]* up to the end of the word: at most one a word
static bool ends_like_particle(const u32* word, std::size_t n) {
    while (n && is_word_punctuation(word[n - 1])) --n;
    if (n < 2) return false;
    const u32 last = word[n - 1], before = word[n - 2];
    if (is_stop_syllable(last)) return is_hangul(before);  // 으로 is 로 after a syllable
    return last == U'서' && before == U'에' && n >= 3 && is_hangul(word[n - 3]);
}

static bool ends_like_sentence(const u32* line, std::size_t n) {
    while (n && is_trailer(line[n - 1])) --n;
    if (!n) return false;
    if (is_closer(line[n - 1])) return true;
    return is_ending(line[n - 1]) && std::find(line, line + n, u32{' '}) != line + n;
}

static bool ends_in_ellipsis(const u32* line, std::size_t n) {
    const u32 last = line[n - 1];
    return last == 0x2026 || last == 0x22EF || (n >= 2 && last == '.' && line[n - 2] == '.');
}

static void split(const Chars& text, std::vector<Span>& words) {
    words.clear();
    const u32 n = static_cast<u32>(text.size());
    for (u32 i = 0; i < n;) {
        while (i < n && is_space(text[i])) ++i;
        const u32 start = i;
        while (i < n && !is_space(text[i])) ++i;
        if (i > start) words.push_back({start, i - start});
    }
}

static void scripts(const Chars& prose, Measured& found) {
    const CharTable& table = char_table();
    const auto& known = tables().syllables;
    long long counts[CLASSES] = {0}, rare = 0, common = 0;
    u32 kinds[4];
    int kinds_of_rare = 0;
    for (u32 c : prose) {
        ++counts[table.at(c)];
        if (!is_hangul(c)) continue;
        const u8 bits = known[c - 0xAC00];
        common += bits & 1;
        if (bits) continue;
        ++rare;
        if (kinds_of_rare < 4 && std::find(kinds, kinds + kinds_of_rare, c) == kinds + kinds_of_rare) kinds[kinds_of_rare++] = c;
    }
    const long long hangul = counts[HANGUL], hanja = counts[HANJA], jamo = counts[JAMO];
    const long long letters = hangul + hanja + counts[LATIN] + counts[KANA] + counts[OTHER] + jamo;
    const long long visible = letters + counts[DIGIT] + counts[SYMBOL] + counts[LOST];
    found.hangul_chars = hangul;
    auto share = [](long long a, long long b) { return static_cast<double>(a) / static_cast<double>(b); };
    if (letters) {
        const long long mixed = static_cast<double>(hangul) >= 0.1 * static_cast<double>(hangul + hanja) ? hanja : 0;
        found.korean_chars = hangul + mixed;
        found.korean = share(hangul + jamo + mixed, letters);
        found.hanja = share(hanja, letters);
        found.kana = share(counts[KANA], letters);
    }
    if (visible) {
        found.jamo = share(jamo, visible);
        found.symbols = share(counts[SYMBOL], visible);
        found.digits = share(counts[DIGIT], visible);
    }
    if (hangul) {
        found.rare = kinds_of_rare >= 4 ? share(rare, hangul) : 0.0;
        found.common = share(common, hangul);
    }
}

static void lines(const Chars& prose, const std::vector<Span>& words, Measured& found) {
    static thread_local std::vector<Span> longs;
    longs.clear();
    long long total = 0, n = 0, newlines = 0, punctuated = 0, bullets = 0, ellipsis = 0, sentences = 0;
    const u32 size = static_cast<u32>(prose.size());
    std::size_t word = 0;
    for (u32 start = 0; start <= size;) {
        u32 end = start;
        while (end < size && prose[end] != '\n') ++end;
        newlines += end < size;
        const std::size_t first_word = word;
        std::size_t stops = 0;
        for (; word < words.size() && words[word].start < end; ++word)
            stops += ends_like_particle(prose.data() + words[word].start, words[word].length);
        found.particles += static_cast<long long>(stops);
        if (word > first_word) {
            const u32 from = words[first_word].start;
            const u32 length = words[word - 1].start + words[word - 1].length - from;
            const u32* line = prose.data() + from;
            ++n;
            total += length;
            bullets += is_bullet(line[0]) || (line[0] == '+' && length > 1 && line[1] == ' ');
            ellipsis += ends_in_ellipsis(line, length);
            if (ends_like_sentence(line, length)) {
                ++punctuated;
                sentences += length;
            } else if (length >= 25 && static_cast<double>(stops) >= std::max(3.0, 0.3 * static_cast<double>(word - first_word))) {
                sentences += length;
            }
            if (length >= 4) longs.push_back({from, length});
        }
        start = end + 1;
    }
    found.lines = n;
    if (!n) return;
    auto share = [](long long a, long long b) { return static_cast<double>(a) / static_cast<double>(b); };
    found.line_punct = share(punctuated, n);
    found.bullets = share(bullets, n);
    found.ellipsis = share(ellipsis, n);
    found.prose = share(sentences, total);
    found.mean_line = share(total, n);
    found.newlines = share(newlines, std::max(found.eojeol, 1ll));
    const auto [again, chars] = repeated_spans(prose.data(), longs);
    found.dup_lines = share(static_cast<long long>(again), n);
    found.dup_line_chars = share(static_cast<long long>(chars), total);
}

static long long lost_characters(const Chars& text) {
    long long lost = 0;
    const u32 *at = text.data(), *end = at + text.size();
    for (; at < end; ++at) {
        if (*at == 0xFFFD) ++lost;
        if (*at == 0x5360 && starts_with(at, end, U"占쏙옙")) lost += 3, at += 2;
    }
    return lost;
}

void measure(const Chars& text, Measured& found) {
    static thread_local std::vector<Span> words, outside_words;
    static thread_local Chars outside;
    found.chars = static_cast<long long>(text.size());
    split(text, words);
    found.eojeol = static_cast<long long>(words.size());
    if (words.empty()) return;
    const Chars* prose = &text;
    const std::vector<Span>* prose_words = &words;
    if (has_code_sign(text)) {
        without_code(text, outside);
        split(outside, outside_words);
        if (static_cast<double>(outside_words.size()) >= 0.1 * static_cast<double>(words.size())) {
            prose = &outside;
            prose_words = &outside_words;
        }
    }
    scripts(*prose, found);
    std::size_t chars = 0;
    for (const Span& w : *prose_words) chars += w.length;
    const std::size_t n = prose_words->size();
    found.mean_eojeol = static_cast<double>(chars) / static_cast<double>(std::max<std::size_t>(n, 1));
    if (const long long lost = lost_characters(text)) found.lost = static_cast<double>(lost) / static_cast<double>(text.size());
    lines(*prose, *prose_words, found);
    if (!chars) return;
    const Repetition repeated = repetition(prose->data(), *prose_words, chars);
    std::copy(std::begin(repeated.top), std::end(repeated.top), found.top);
    std::copy(std::begin(repeated.dup), std::end(repeated.dup), found.dup);
    if (chars > 7 * n && chars > 10) found.char_repeat = repeated_characters(prose->data(), *prose_words, chars);
}

}  // namespace kodata
