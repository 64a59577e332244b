#include "repetition.hpp"

#include <algorithm>
#include <cstring>

namespace kodata {

constexpr u32 NONE = 0xFFFFFFFFu;  // in a table: free; as the name of a gram: it occurs once

// Names for keys in order of their first occurrence, and how often each occurred. `Same(a, b)` compares places.
struct Names {
    struct Known {
        u64 hash;
        u32 first, count;
    };
    std::vector<u32> slots;
    std::vector<Known> known;
    std::size_t mask = 0;

    void clear(std::size_t most) {
        std::size_t size = 16;
        while (size < 2 * most) size *= 2;
        slots.assign(size, NONE);
        mask = size - 1;
        known.clear();
    }
    std::size_t size() const { return known.size(); }
    u32 count(u32 name) const { return known[name].count; }

    template <class Same>
    u32 name(u64 hash, u32 place, Same same) {
        for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
            const u32 found = slots[at];
            if (found == NONE) {
                slots[at] = static_cast<u32>(known.size());
                known.push_back({hash, place, 1});
                return slots[at];
            }
            if (known[found].hash == hash && same(known[found].first, place)) {
                ++known[found].count;
                return found;
            }
        }
    }
};

static u64 hash_of(const u32* text, std::size_t n) {
    u64 h = n;
    auto add = [&h](u64 two) { h = (h ^ two) * 0x9E3779B97F4A7C15ull, h ^= h >> 29; };
    for (; n >= 2; n -= 2, text += 2) add(u64{text[0]} | u64{text[1]} << 32);
    if (n) add(text[0]);
    return mix(h);
}

static bool equal(const u32* text, Span a, Span b) {
    return a.length == b.length && std::memcmp(text + a.start, text + b.start, a.length * sizeof(u32)) == 0;
}

static Names& shared_names() {
    static thread_local Names names;
    return names;
}

// names of spans, NONE for those that occur once; false when all do
static bool name_spans(const u32* text, const std::vector<Span>& spans, std::vector<u32>& out, Names& names) {
    names.clear(spans.size());
    out.resize(spans.size());
    for (std::size_t i = 0; i < spans.size(); ++i)
        out[i] = names.name(hash_of(text + spans[i].start, spans[i].length), static_cast<u32>(i),
                            [&](u32 a, u32 b) { return equal(text, spans[a], spans[b]); });
    bool any = false;
    for (u32& id : out) {
        if (names.count(id) == 1) id = NONE;
        any |= id != NONE;
    }
    return any;
}

static std::size_t length_of(const std::vector<Span>& words, std::size_t from, std::size_t n) {
    std::size_t sum = 0;
    for (std::size_t i = from; i < from + n; ++i) sum += words[i].length;
    return sum;
}

static double top(const std::vector<Span>& words, std::size_t n, std::size_t chars, const Names& names) {
    std::size_t best = 0;
    u32 most = 0;
    for (std::size_t i = 0; i < names.size(); ++i)
        if (names.known[i].count > most) most = names.known[i].count, best = i;
    if (most < MIN_TOP) return 0;
    return static_cast<double>(most * length_of(words, names.known[best].first, n)) / static_cast<double>(chars);
}

static double duplicates(const std::vector<Span>& words, std::size_t n, std::size_t chars, const std::vector<u32>& ids,
                         std::size_t names) {
    std::vector<bool> seen(names);
    std::size_t repeated = 0;
    for (std::size_t i = 0; i < ids.size();) {
        if (ids[i] != NONE && seen[ids[i]]) {
            repeated += length_of(words, i, n);
            i += n;
        } else {
            if (ids[i] != NONE) seen[ids[i]] = true;
            ++i;
        }
    }
    return static_cast<double>(repeated) / static_cast<double>(chars);
}

Repetition repetition(const u32* text, const std::vector<Span>& words, std::size_t chars) {
    Repetition found;
    static thread_local std::vector<u32> ids, next;
    Names& names = shared_names();
    if (!name_spans(text, words, ids, names)) return found;
    for (std::size_t n = 2; n <= 10; ++n) {
        if (words.size() < n + 1) break;
        // An n-gram is its first and its last (n-1)-gram; where one of those occurs once, so does it.
        const std::size_t grams = words.size() - n + 1;
        std::size_t candidates = 0;
        for (std::size_t i = 0; i < grams; ++i) candidates += ids[i] != NONE && ids[i + 1] != NONE;
        if (candidates < 2) break;
        names.clear(candidates);
        next.assign(grams, NONE);
        for (std::size_t i = 0; i < grams; ++i) {
            if (ids[i] == NONE || ids[i + 1] == NONE) continue;
            const u64 key = static_cast<u64>(ids[i]) << 32 | ids[i + 1];
            next[i] = names.name(mix(key), static_cast<u32>(i),
                                 [&](u32 a, u32 b) { return ids[a] == ids[b] && ids[a + 1] == ids[b + 1]; });
        }
        bool any = false;
        for (u32& id : next) {
            if (id != NONE && names.count(id) == 1) id = NONE;
            any |= id != NONE;
        }
        if (!any) break;
        if (n <= 4) {
            if (words.size() >= n + MIN_TOP) found.top[n - 2] = top(words, n, chars, names);
        } else {
            found.dup[n - 5] = duplicates(words, n, chars, next, names.size());
        }
        std::swap(ids, next);
    }
    return found;
}

double repeated_characters(const u32* text, const std::vector<Span>& words, std::size_t chars) {
    static thread_local Chars solid;
    static thread_local std::vector<u64> hashes;
    solid.clear();
    solid.reserve(chars);
    for (const Span& w : words) solid.insert(solid.end(), text + w.start, text + w.start + w.length);
    ngrams(solid, 10, hashes);
    Names& names = shared_names();
    names.clear(hashes.size());
    for (std::size_t i = 0; i < hashes.size(); ++i)
        names.name(mix(hashes[i]), static_cast<u32>(i), [&](u32 a, u32 b) {
            return std::memcmp(solid.data() + a, solid.data() + b, 10 * sizeof(u32)) == 0;
        });
    return 1 - static_cast<double>(names.size()) / static_cast<double>(hashes.size());
}

std::pair<std::size_t, std::size_t> repeated_spans(const u32* text, const std::vector<Span>& spans) {
    Names& names = shared_names();
    names.clear(spans.size());
    std::size_t spare = 0, chars = 0;
    for (std::size_t i = 0; i < spans.size(); ++i) {
        const std::size_t before = names.size();
        names.name(hash_of(text + spans[i].start, spans[i].length), static_cast<u32>(i),
                   [&](u32 a, u32 b) { return equal(text, spans[a], spans[b]); });
        if (names.size() == before) ++spare, chars += spans[i].length;
    }
    return {spare, chars};
}

}  // namespace kodata
