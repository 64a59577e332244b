// Causal grouped-query attention over the key/value caches, block by block of queries.
#include "model.h"
#include "threads.h"
#include <cmath>
#include <cstring>

namespace kobitnet {
namespace {

constexpr int64_t kQueryBlock = 8;                                   // tokens a task handles together

Buffer<float>& query_scratch() { thread_local Buffer<float> b; return b; }
Buffer<float>& score_scratch() { thread_local Buffer<float> b; return b; }
Buffer<float>& result_scratch() { thread_local Buffer<float> b; return b; }

}  // namespace

void attention(const Dims& d, const float* q, const std::vector<Attended>& sequences, float* out) {
    const Kernels& k = kernels();
    const int64_t share = d.heads / d.kv_heads, dim = d.head_dim, width = d.heads * dim;
    const float scale = 1.0f / std::sqrt((float)dim);
    int64_t items = 0;
    for (const Attended& a : sequences) items += d.kv_heads * ((a.m + kQueryBlock - 1) / kQueryBlock);
    parallel_for(items, 1, [&](int64_t begin, int64_t end) {
        Buffer<float>&qs = query_scratch(), &scores = score_scratch(), &result = result_scratch();
        for (int64_t i = begin; i < end; i++) {
            int64_t item = i, blocks = 0;
            const Attended* a = sequences.data();
            for (;; a++) {                                           // the sequence this item belongs to
                blocks = (a->m + kQueryBlock - 1) / kQueryBlock;
                if (item < d.kv_heads * blocks) break;
                item -= d.kv_heads * blocks;
            }
            const int64_t head = item % d.kv_heads;
            const int64_t first = (blocks - 1 - item / d.kv_heads) * kQueryBlock;   // longest blocks first
            const int64_t tokens = a->m - first < kQueryBlock ? a->m - first : kQueryBlock;
            const int64_t rows = tokens * share, len = a->start + first + tokens;
            const int64_t ldp = (len + 15) / 16 * 16;
            qs.at_least(kQueryBlock * share * dim);
            result.at_least(kQueryBlock * share * dim);
            scores.at_least(rows * ldp);
            const float* keys_h = a->keys + head * a->capacity * dim;
            const float* values_h = a->values + head * a->capacity * dim;
            const int64_t at = (a->first + first) * width + head * share * dim;
            for (int64_t t = 0; t < tokens; t++)                     // the heads that share these keys are contiguous
                std::memcpy(qs.data() + t * share * dim, q + at + t * width, (size_t)(share * dim) * sizeof(float));
            k.dot(keys_h, dim, len, qs.data(), dim, rows, dim, scores.data(), ldp);
            for (int64_t r = 0; r < rows; r++) {
                const int64_t seen = a->start + first + r / share + 1;   // causal: keys 0 .. own position
                float* s = scores.data() + r * ldp;
                k.softmax(s, seen, scale);
                std::memset(s + seen, 0, (size_t)(len - seen) * sizeof(float));
            }
            k.weighted_sum(scores.data(), ldp, rows, values_h, dim, len, dim, result.data(), dim);
            for (int64_t t = 0; t < tokens; t++)
                std::memcpy(out + at + t * width, result.data() + t * share * dim, (size_t)(share * dim) * sizeof(float));
        }
    });
}

}  // namespace kobitnet
