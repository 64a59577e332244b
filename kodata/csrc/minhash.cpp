#include "minhash.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <unordered_set>

#if defined(__x86_64__) && defined(__GNUC__)
#define KODATA_X86 1
#endif

namespace kodata {

Permutations::Permutations(std::size_t count, u64 seed) : a(count), b(count) {
    for (std::size_t i = 0; i < count; ++i) {
        const u64 r = mix(seed + (i + 1) * GOLDEN);
        a[i] = static_cast<u32>(r >> 32) | 1u;
        b[i] = static_cast<u32>(r);
    }
}

// One body, compiled once per instruction set: the inner loop has no branch and a fixed width, so the
// compiler keeps BLOCK minima in vector registers and runs through the shingles once per block.
constexpr std::size_t BLOCK = 32;

#if defined(__GNUC__)
#define KODATA_INLINE inline __attribute__((always_inline))
#else
#define KODATA_INLINE inline
#endif

static KODATA_INLINE void fold_body(const u32* x, std::size_t count, const u32* a, const u32* b,
                                    std::size_t width, u32* minima) {
    std::size_t p = 0;
    for (; p + BLOCK <= width; p += BLOCK) {
        u32 m[BLOCK], pa[BLOCK], pb[BLOCK];
        for (std::size_t k = 0; k < BLOCK; ++k) m[k] = minima[p + k], pa[k] = a[p + k], pb[k] = b[p + k];
        for (std::size_t i = 0; i < count; ++i) {
            const u32 xi = x[i];
            for (std::size_t k = 0; k < BLOCK; ++k) {
                const u32 v = pa[k] * xi + pb[k];
                m[k] = v < m[k] ? v : m[k];
            }
        }
        for (std::size_t k = 0; k < BLOCK; ++k) minima[p + k] = m[k];
    }
    for (; p < width; ++p) {
        u32 m = minima[p];
        for (std::size_t i = 0; i < count; ++i) {
            const u32 v = a[p] * x[i] + b[p];
            m = v < m ? v : m;
        }
        minima[p] = m;
    }
}

static KODATA_INLINE u32 matches_body(const u32* a, const u32* b, std::size_t width) {
    u32 same = 0;
    for (std::size_t i = 0; i < width; ++i) same += a[i] == b[i];
    return same;
}

using Matches = u32 (*)(const u32*, const u32*, std::size_t);
using Fold = void (*)(const u32*, std::size_t, const u32*, const u32*, std::size_t, u32*);

static void fold_plain(const u32* x, std::size_t n, const u32* a, const u32* b, std::size_t w, u32* m) {
    fold_body(x, n, a, b, w, m);
}
static u32 matches_plain(const u32* a, const u32* b, std::size_t w) { return matches_body(a, b, w); }
#ifdef KODATA_X86
__attribute__((target("avx2"))) static u32 matches_avx2(const u32* a, const u32* b, std::size_t w) {
    return matches_body(a, b, w);
}
__attribute__((target("sse4.1"))) static void fold_sse41(const u32* x, std::size_t n, const u32* a,
                                                         const u32* b, std::size_t w, u32* m) {
    fold_body(x, n, a, b, w, m);
}
__attribute__((target("avx2"))) static void fold_avx2(const u32* x, std::size_t n, const u32* a, const u32* b,
                                                      std::size_t w, u32* m) {
    fold_body(x, n, a, b, w, m);
}
__attribute__((target("avx512f"))) static void fold_avx512(
    const u32* x, std::size_t n, const u32* a, const u32* b, std::size_t w, u32* m) {
    fold_body(x, n, a, b, w, m);
}
#endif

namespace {

struct Variant {
    const char* name;
    Fold fold;
    Matches matches;
    bool (*supported)();
};

// Best first; the plain one runs everywhere (on arm64 the compiler makes NEON of it).
const Variant VARIANTS[] = {
#ifdef KODATA_X86
    {"avx512f", fold_avx512, matches_avx2, [] { return __builtin_cpu_supports("avx512f") != 0; }},
    {"avx2", fold_avx2, matches_avx2, [] { return __builtin_cpu_supports("avx2") != 0; }},
    {"sse4.1", fold_sse41, matches_plain, [] { return __builtin_cpu_supports("sse4.1") != 0; }},
#endif
    {"plain", fold_plain, matches_plain, [] { return true; }},
};

const Variant* best_variant() {
#ifdef KODATA_X86
    __builtin_cpu_init();
#endif
    const Variant* v = VARIANTS;
    while (!v->supported()) ++v;
    return v;
}

const Variant* chosen = best_variant();

}  // namespace

const char* isa_name() { return chosen->name; }

bool use_isa(const char* name) {
    for (const Variant& v : VARIANTS)
        if (std::strcmp(v.name, name) == 0 && v.supported()) return chosen = &v, true;
    return false;
}

void fold_minima(const u64* grams, std::size_t count, const Permutations& perms, u32* minima) {
    constexpr std::size_t CHUNK = 2048;  // stays in the first-level cache
    u32 x[CHUNK];
    for (std::size_t start = 0; start < count; start += CHUNK) {
        const std::size_t n = std::min(CHUNK, count - start);
        for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<u32>(mix(grams[start + i]) >> 32);
        chosen->fold(x, n, perms.a.data(), perms.b.data(), perms.a.size(), minima);
    }
}

// --- buckets ------------------------------------------------------------------------------------------

namespace {

struct Entry {
    u64 key;
    u32 row;
};

// Rows grouped by band key: stable radix sort on the upper 33 bits, then by the whole key inside equal runs.
void sort_entries(std::vector<Entry>& entries, std::vector<Entry>& spare) {
    spare.resize(entries.size());
    for (int shift : {31, 42, 53}) {
        std::size_t counts[2049] = {0};
        for (const Entry& e : entries) ++counts[((e.key >> shift) & 2047) + 1];
        for (int i = 0; i < 2048; ++i) counts[i + 1] += counts[i];
        for (const Entry& e : entries) spare[counts[(e.key >> shift) & 2047]++] = e;
        entries.swap(spare);
    }
    for (std::size_t i = 0; i < entries.size();) {
        std::size_t j = i + 1;
        while (j < entries.size() && entries[j].key >> 31 == entries[i].key >> 31) ++j;
        if (j - i > 1)
            std::stable_sort(entries.begin() + i, entries.begin() + j,
                             [](const Entry& a, const Entry& b) { return a.key < b.key; });
        i = j;
    }
}

// Calls visit(rows) for the parts of a bucket: itself, or when it is large what the places from `place` on leave.
template <class Visit>
void split_bucket(const Signatures& sig, std::size_t large, std::size_t place, std::size_t depth,
                  std::vector<u32>& rows, Visit&& visit) {
    if (rows.size() <= large || depth == MAX_SPLITS) return visit(rows);
    const u32* column = sig.values + place % sig.width;
    std::stable_sort(rows.begin(), rows.end(), [&](u32 a, u32 b) {
        return column[static_cast<std::size_t>(a) * sig.width] < column[static_cast<std::size_t>(b) * sig.width];
    });
    for (std::size_t i = 0; i < rows.size();) {
        std::size_t j = i + 1;
        const u32 value = column[static_cast<std::size_t>(rows[i]) * sig.width];
        while (j < rows.size() && column[static_cast<std::size_t>(rows[j]) * sig.width] == value) ++j;
        if (j - i > 1) {
            std::vector<u32> part(rows.begin() + i, rows.begin() + j);
            split_bucket(sig, large, place + 1, depth + 1, part, visit);
        }
        i = j;
    }
}

using Keys = std::unordered_set<u64>;

u64 band_key(const u32* signature, std::size_t band, std::size_t rows) {
    u64 key = mix(GOLDEN * (band + 1));
    for (std::size_t k = 0; k < rows; ++k) key = mix(key ^ signature[band * rows + k]);
    return key;
}

// Calls visit(band, bucket rows) for every bucket of two or more rows whose key lies in the part, band by band;
// the keys of those that were split are added to `large`.
template <class Visit>
void each_bucket(const Signatures& sig, const Bands& shape, const Part& part, Keys& large, Visit&& visit) {
    std::vector<Entry> entries, spare;
    std::vector<u32> bucket;
    entries.reserve(sig.rows);
    for (std::size_t band = 0; band < shape.bands; ++band) {
        entries.clear();
        for (std::size_t i = 0; i < sig.rows; ++i) {
            const u64 key = band_key(sig.values + i * sig.width, band, shape.rows);
            if (key >= part.low && key <= part.high) entries.push_back({key, static_cast<u32>(i)});
        }
        sort_entries(entries, spare);
        for (std::size_t i = 0; i < entries.size();) {
            std::size_t j = i + 1;
            while (j < entries.size() && entries[j].key == entries[i].key) ++j;
            if (j - i > 1) {
                bucket.clear();
                for (std::size_t k = i; k < j; ++k) bucket.push_back(entries[k].row);
                if (bucket.size() > shape.large) large.insert(entries[i].key);
                split_bucket(sig, shape.large, (band + 1) * shape.rows, 0, bucket,
                             [&](const std::vector<u32>& rows) { visit(band, rows); });
            }
            i = j;
        }
    }
}

// Larger buckets of a part do without the question whether two rows met before: where their earlier buckets lie
// in other parts, no union is known here that would spare them the comparison of all with all.
constexpr std::size_t FAMILY = 256;

// Did the two rows meet in a bucket of an earlier band that was not split? Then that meeting decides about them.
bool met_before(const u32* a, const u32* b, std::size_t band, std::size_t rows, const Keys& large) {
    for (std::size_t k = 0; k < band; ++k)
        if (a[k * rows] == b[k * rows] && std::memcmp(a + k * rows, b + k * rows, rows * sizeof(u32)) == 0 &&
            (large.empty() || large.count(band_key(a, k, rows)) == 0))
            return true;
    return false;
}

// Sets the flag of every row of a bucket that agrees with another one of it.
class Partners {
    std::vector<u32> with_, without_;  // rows of the bucket that have a partner, and that have none yet

public:
    template <class Agree>
    void flag(const std::vector<u32>& bucket, u8* flags, Agree&& agree) {
        with_.clear();
        without_.clear();
        for (const u32 row : bucket) {
            for (std::size_t k = 0; k < without_.size();) {
                if (!agree(row, without_[k])) {
                    ++k;
                    continue;
                }
                flags[row] = flags[without_[k]] = 1;
                with_.push_back(without_[k]);
                without_[k] = without_.back();
                without_.pop_back();
            }
            if (!flags[row])
                flags[row] = std::any_of(with_.begin(), with_.end(), [&](u32 other) { return agree(row, other); });
            (flags[row] ? with_ : without_).push_back(row);
        }
    }
};

}  // namespace

void flag_candidates(const Signatures& sig, const Bands& shape, const Part& part, u32 min_match, u8* flags) {
    std::memset(flags, 0, sig.rows);
    const Matches matches = chosen->matches;
    Keys large(part.large, part.large + part.large_count);
    Partners partners;
    each_bucket(sig, shape, part, large, [&](std::size_t band, const std::vector<u32>& bucket) {
        const bool once = !part.whole() && bucket.size() <= FAMILY;
        partners.flag(bucket, flags, [&](u32 i, u32 j) {
            const u32* a = sig.values + static_cast<std::size_t>(i) * sig.width;
            const u32* b = sig.values + static_cast<std::size_t>(j) * sig.width;
            return matches(a, b, sig.width) >= min_match && !(once && met_before(a, b, band, shape.rows, large));
        });
    });
}

void band_keys(const Signatures& sig, const Bands& shape, u64* keys) {
    for (std::size_t i = 0; i < sig.rows; ++i)
        for (std::size_t band = 0; band < shape.bands; ++band)
            *keys++ = band_key(sig.values + i * sig.width, band, shape.rows);
}

constexpr std::size_t PLACES = 32;  // two bits each in a word of a sketch
constexpr u64 ODD_BITS = 0x5555555555555555ull;

std::size_t sketch_words(std::size_t width) { return (width + PLACES - 1) / PLACES; }

void sketches(const Signatures& sig, u64* out) {
    const std::size_t words = sketch_words(sig.width);
    std::memset(out, 0, sig.rows * words * sizeof(u64));
    for (std::size_t i = 0; i < sig.rows; ++i, out += words)
        for (std::size_t k = 0; k < sig.width; ++k)
            out[k / PLACES] |= static_cast<u64>(sig.values[i * sig.width + k] & 3u) << (2 * (k % PLACES));
}

void flag_meetings(const u64* keys, const u64* sketch, std::size_t count, std::size_t width, std::size_t large,
                   u32 min_match, u8* flags) {
    std::memset(flags, 0, count);
    const std::size_t words = sketch_words(width);
    std::vector<u32> bucket;
    Partners partners;
    for (std::size_t i = 0; i < count;) {
        std::size_t j = i + 1;
        while (j < count && keys[j] == keys[i]) ++j;
        if (j - i > large) {
            std::memset(flags + i, 1, j - i);
        } else if (j - i > 1) {
            bucket.resize(j - i);
            std::iota(bucket.begin(), bucket.end(), static_cast<u32>(i));
            partners.flag(bucket, flags, [&](u32 a, u32 b) {
                std::size_t differ = 0;
                for (std::size_t k = 0; k < words; ++k) {
                    const u64 x = sketch[a * words + k] ^ sketch[b * words + k];
                    differ += __builtin_popcountll((x | x >> 1) & ODD_BITS);
                }
                return width - differ >= min_match;
            });
        }
        i = j;
    }
}

Components::Components(std::size_t count) : parent_(count) {
    std::iota(parent_.begin(), parent_.end(), std::int64_t{0});
}

void Components::join(std::int64_t a, std::int64_t b) {
    auto find = [&](std::int64_t x) {
        while (parent_[x] != x) x = parent_[x] = parent_[parent_[x]];
        return x;
    };
    a = find(a), b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);
}

std::vector<std::int64_t> Components::roots() && {
    for (std::int64_t& parent : parent_) parent = parent_[parent];  // parents come first, so theirs are roots already
    return std::move(parent_);
}

double jaccard(const u64* a, std::size_t na, const u64* b, std::size_t nb) {
    if (na + nb == 0) return 1.0;
    std::size_t i = 0, j = 0, shared = 0;
    while (i < na && j < nb) {  // no branch on the data: each step moves one or both cursors
        const u64 x = a[i], y = b[j];
        shared += x == y;
        i += x <= y;
        j += y <= x;
    }
    return static_cast<double>(shared) / static_cast<double>(na + nb - shared);
}

ClusterCounts cluster(const Signatures& sig, const Bands& shape, const Part& part, u32 min_match, const Sets& sets,
                      double threshold, u32* parent) {
    ClusterCounts counts;
    const Matches matches = chosen->matches;
    std::iota(parent, parent + sig.rows, 0u);
    auto find = [&](u32 x) {
        while (parent[x] != x) x = parent[x] = parent[parent[x]];
        return x;
    };
    auto size = [&](u32 row) { return static_cast<std::size_t>(sets.offsets[row + 1] - sets.offsets[row]); };
    Keys large(part.large, part.large + part.large_count);
    auto edge = [&](u32 ra, u32 rb, std::size_t band, bool once) {
        const std::size_t na = size(ra), nb = size(rb);
        const double most = static_cast<double>(std::min(na, nb)) / static_cast<double>(std::max(na, nb));
        if (most < threshold) return false;
        const u32* a = sig.values + static_cast<std::size_t>(ra) * sig.width;
        const u32* b = sig.values + static_cast<std::size_t>(rb) * sig.width;
        ++counts.estimated;
        if (matches(a, b, sig.width) < min_match || (once && met_before(a, b, band, shape.rows, large))) return false;
        ++counts.verified;
        if (jaccard(sets.values + sets.offsets[ra], na, sets.values + sets.offsets[rb], nb) < threshold) return false;
        ++counts.edges;
        return true;
    };
    // The rows of a bucket seen so far, by component. A new row is compared with the members of the other groups
    // until one is an edge: a family of copies costs as many comparisons as it has rows, not their square.
    std::vector<std::vector<u32>> groups;
    each_bucket(sig, shape, part, large, [&](std::size_t band, const std::vector<u32>& bucket) {
        const bool once = part.whole() || bucket.size() <= FAMILY;
        ++counts.buckets;
        counts.largest_bucket = std::max<u64>(counts.largest_bucket, bucket.size());
        groups.clear();
        for (const u32 row : bucket) {
            if (size(row) == 0) continue;  // never flagged: no partner agrees enough
            std::size_t home = groups.size();
            for (std::size_t g = 0; g < groups.size(); ++g)
                if (find(groups[g].front()) == find(row)) home = g;
            if (home == groups.size()) groups.emplace_back();
            for (std::size_t g = groups.size(); g-- > 0;) {
                if (g == home) continue;
                const bool joined = std::any_of(groups[g].begin(), groups[g].end(),
                                                [&](u32 other) { return edge(row, other, band, once); });
                if (!joined) continue;
                const u32 pa = find(row), pb = find(groups[g].front());
                parent[std::max(pa, pb)] = std::min(pa, pb);
                groups[home].insert(groups[home].end(), groups[g].begin(), groups[g].end());
                if (g != groups.size() - 1) {
                    std::swap(groups[g], groups.back());
                    if (home == groups.size() - 1) home = g;
                }
                groups.pop_back();
            }
            groups[home].push_back(row);
        }
    });
    for (std::size_t i = 0; i < sig.rows; ++i) parent[i] = find(static_cast<u32>(i));
    return counts;
}

}  // namespace kodata
