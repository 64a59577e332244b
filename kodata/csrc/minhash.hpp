// MinHash signatures, banded locality-sensitive hashing, verified Jaccard and clusters.
#pragma once

#include <cstdint>
#include <vector>

#include "shingle.hpp"

namespace kodata {

// Permutation i of a 32-bit value x is a[i] * x + b[i] modulo 2^32, a[i] odd.
struct Permutations {
    std::vector<u32> a, b;
    Permutations(std::size_t count, u64 seed);
};

// Fold the upper halves of the mixed shingle hashes into the minima; `minima` starts at 2^32 - 1.
void fold_minima(const u64* grams, std::size_t count, const Permutations& perms, u32* minima);

const char* isa_name();              // which compiled variant of the kernel runs here
bool use_isa(const char* name);      // choose a variant by name, for tests and benchmarks; false: not on this machine

struct Signatures {
    const u32* values;  // rows of `width`
    std::size_t rows, width;
};

struct Sets {  // sorted distinct 64-bit shingle hashes; document i is values[offsets[i] .. offsets[i + 1])
    const u64* values;
    const std::int64_t* offsets;
};

// How rows meet: equal values in all places of a band put them into one bucket. A bucket of more than `large`
// rows is split by the places that follow the band, one at a time and at most MAX_SPLITS of them: families of
// documents from one form would otherwise be compared all with all.
struct Bands {
    std::size_t bands, rows, large;
};
constexpr std::size_t MAX_SPLITS = 16;

// The buckets to look at: those with a key in [low, high]. `large` are keys of split buckets outside of it: two rows
// that met in another part are left to that part, but for rows that a split may have parted there.
struct Part {
    u64 low = 0, high = ~u64{0};
    const u64* large = nullptr;
    std::size_t large_count = 0;
    bool whole() const { return low == 0 && high == ~u64{0}; }
};

// keys[i * bands + band]: the bucket of row i in a band; the band is part of the key.
void band_keys(const Signatures& sig, const Bands& bands, u64* keys);

// The lower two bits of every place, 32 places a word (Li and Konig 2010, b-bit minwise hashing). Places that agree agree
// in their bits, so two sketches agree in at least as many places as their signatures: to ask them loses no pair.
std::size_t sketch_words(std::size_t width);
void sketches(const Signatures& sig, u64* out);

// Entries sorted by key: 1 for each that may have a partner (min_match agreeing places of the sketch) in its
// bucket, and for all entries of a bucket of more than `large`, which only whole signatures can split.
void flag_meetings(const u64* keys, const u64* sketch, std::size_t count, std::size_t width, std::size_t large,
                   u32 min_match, u8* flags);

// 1 for every row that shares a bucket with another row whose signature agrees in at least min_match places.
void flag_candidates(const Signatures& sig, const Bands& bands, const Part& part, u32 min_match, u8* flags);

struct ClusterCounts {
    u64 buckets = 0, largest_bucket = 0, estimated = 0, verified = 0, edges = 0;
};

// Connected components over the edges: same bucket, min_match agreeing places, exact Jaccard >= threshold.
// parent[i] becomes the smallest row of i's component. Pairs already connected are not compared again.
ClusterCounts cluster(const Signatures& sig, const Bands& bands, const Part& part, u32 min_match, const Sets& sets,
                      double threshold, u32* parent);

// Union-find over many numbers, 8 bytes each. The smaller root becomes the parent, so parents never follow their children.
class Components {
    std::vector<std::int64_t> parent_;

public:
    explicit Components(std::size_t count);
    std::size_t size() const { return parent_.size(); }
    void join(std::int64_t a, std::int64_t b);
    std::vector<std::int64_t> roots() &&;  // smallest number of each one's component; leaves nothing behind
};

double jaccard(const u64* a, std::size_t na, const u64* b, std::size_t nb);

}  // namespace kodata
