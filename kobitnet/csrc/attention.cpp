// Causal grouped-query attention over the key/value cache, block by block of queries.
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

void attention(const Dims& d, const float* q, const float* keys, const float* values, int64_t capacity, int64_t start,
               int64_t m, float* out) {
    const Kernels& k = kernels();
    const int64_t share = d.heads / d.kv_heads, dim = d.head_dim, width = d.heads * dim;
    const int64_t blocks = (m + kQueryBlock - 1) / kQueryBlock;
    const float scale = 1.0f / std::sqrt((float)dim);
    parallel_for(d.kv_heads * blocks, 1, [&](int64_t begin, int64_t end) {
        Buffer<float>&qs = query_scratch(), &scores = score_scratch(), &result = result_scratch();
        for (int64_t item = begin; item < end; item++) {
            const int64_t head = item % d.kv_heads;
            const int64_t first = (blocks - 1 - item / d.kv_heads) * kQueryBlock;   // longest blocks first
            const int64_t tokens = m - first < kQueryBlock ? m - first : kQueryBlock;
            const int64_t rows = tokens * share, len = start + first + tokens;
            const int64_t ldp = (len + 15) / 16 * 16;
            qs.at_least(kQueryBlock * share * dim);
            result.at_least(kQueryBlock * share * dim);
            scores.at_least(rows * ldp);
            const float* keys_h = keys + head * capacity * dim;
            const float* values_h = values + head * capacity * dim;
            for (int64_t t = 0; t < tokens; t++)                     // the heads that share these keys are contiguous
                std::memcpy(qs.data() + t * share * dim, q + (first + t) * width + head * share * dim,
                            (size_t)(share * dim) * sizeof(float));
            FloatRows kr;
            kr.f32 = keys_h;
            kr.stride = dim;
            k.dot(kr, len, qs.data(), dim, rows, dim, scores.data(), ldp);
            for (int64_t r = 0; r < rows; r++) {
                const int64_t seen = start + first + r / share + 1;  // causal: keys 0 .. own position
                float* s = scores.data() + r * ldp;
                k.softmax(s, seen, scale);
                std::memset(s + seen, 0, (size_t)(len - seen) * sizeof(float));
            }
            k.weighted_sum(scores.data(), ldp, rows, values_h, dim, len, dim, result.data(), dim);
            for (int64_t t = 0; t < tokens; t++)
                std::memcpy(out + (first + t) * width + head * share * dim, result.data() + t * share * dim,
                            (size_t)(share * dim) * sizeof(float));
        }
    });
}

}  // namespace kobitnet
