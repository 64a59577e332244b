// The whole decoder step: embedding, blocks, final norm, head. Shapes in comments; m = tokens in this call.
#pragma once
#include <memory>
#include <vector>
#include "linear.h"

namespace kobitnet {

struct Dims {
    int64_t vocab = 0, hidden = 0, inter = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, max_len = 0;
    float eps = 1e-5f;
    Activation act = Activation::relu2;
};

struct Block {
    Linear q, k, v, o, gate, up, down;
    std::vector<float> input_norm, post_norm, attn_norm, ffn_norm;   // [hidden] x 3, [inter]
};

// fp32 or bf16 rows [vocab][hidden].
struct Table {
    Buffer<float> f32;
    Buffer<uint16_t> bf16;
    FloatRows rows(int64_t first, int64_t hidden) const;
    bool empty() const { return f32.size() == 0 && bf16.size() == 0; }
};

// Keys and values of one sequence: per layer [kv_heads][capacity][head_dim] fp32.
struct Cache {
    Dims dims;
    int64_t length = 0, capacity = 0;
    std::vector<Buffer<float>> keys, values;                         // [layers]

    explicit Cache(const Dims& d) : dims(d), keys((size_t)d.layers), values((size_t)d.layers) {}
    Cache(const Cache&) = delete;
    Cache(Cache&&) = default;
    void reserve(int64_t tokens);                                    // grows by doubling, keeps the contents
};

struct Workspace {
    Buffer<float> hidden, normed, q, k, v, attn, gate, up, out, cos, sin;
    Quantized x;
    int64_t rope_len = 0;
};

enum class Want { nothing, last, all, targets };

struct Model {
    Dims dims;
    std::vector<Block> blocks;
    std::vector<float> final_norm, inv_freq;                         // [hidden], [head_dim / 2]
    Table embedding, head;                                           // head empty: tied to the embedding

    explicit Model(const Dims& d);
    Model(const Model&) = delete;
    Model(Model&&) = delete;
    void check_complete() const;
    // Runs m tokens at positions cache.length .. and appends them to the cache. out: last [vocab], all [m][vocab],
    // targets [m]: log p(target | tokens up to this one), with targets [m].
    void forward(Cache& cache, const int32_t* ids, int64_t m, Want want, const int32_t* targets, float* out) const;
};

// attention.cpp: q [m][heads * head_dim] (already rotated) against the cache of one layer, whose keys and values up
// to start + m are in place; out [m][heads * head_dim].
void attention(const Dims& d, const float* q, const float* keys, const float* values, int64_t capacity, int64_t start,
               int64_t m, float* out);

}  // namespace kobitnet
