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

// 1 for every row that shares a bucket with another row whose signature agrees in at least min_match places.
void flag_candidates(const Signatures& sig, const Bands& bands, u32 min_match, u8* flags);

struct ClusterCounts {
    u64 buckets = 0, largest_bucket = 0, estimated = 0, verified = 0, edges = 0;
};

// Connected components over the edges: same bucket, min_match agreeing places, exact Jaccard >= threshold.
// parent[i] becomes the smallest row of i's component. Pairs already connected are not compared again.
ClusterCounts cluster(const Signatures& sig, const Bands& bands, u32 min_match, const Sets& sets,
                      double threshold, u32* parent);

double jaccard(const u64* a, std::size_t na, const u64* b, std::size_t nb);

}  // namespace kodata
