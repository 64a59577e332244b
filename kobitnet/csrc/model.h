// The whole decoder step: embedding, blocks, final norm, head. Shapes in comments; m = tokens in this call.
#pragma once
#include <memory>
#include <vector>
#include "linear.h"

namespace kobitnet {

struct Dims {
    int64_t vocab = 0, hidden = 0, inter = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, max_len = 0;
    int64_t groups = 1;                                              // parts of the inputs of o and down
    float eps = 1e-5f;
    Activation act = Activation::relu2;
};

// o and down in parts by columns, each with scales of its own for weights and activations (group quantisation); one part else.
struct Block {
    Linear q, k, v, gate, up;
    std::vector<Linear> o, down;                                     // [groups]
    std::vector<float> input_norm, post_norm, attn_norm, ffn_norm;   // [hidden] x 3, [inter]
};

enum class Stored : int { fp32 = 0, bf16 = 1, int8 = 2 };

// Rows [vocab][hidden] in one of three forms, filled piece by piece, laid out as kernels.h says of BandedRows.
struct Table {
    Buffer<float> f32;
    Buffer<uint16_t> bf16;
    Buffer<int8_t> int8;
    Buffer<float> scale;                                             // of int8, one a row: absmax / 127
    int64_t capacity = 0, stride = 0;                                // rows; elements of a row, padding included
    int64_t filled = 0;                                              // rows set so far, in order

    void reserve(Stored form, int64_t rows, int64_t hidden);
    // Next rows: fp32 values, or bf16 bits when half is given. Rounded half to even to the form of this table.
    void append(const float* values, const uint16_t* half, int64_t rows, int64_t hidden);
    BandedRows rows(int64_t first) const;                            // first: a multiple of kBandRows
    void copy_row(int64_t row, int64_t hidden, float* out) const;
    bool empty() const { return f32.size() == 0 && bf16.size() == 0 && int8.size() == 0; }
    int64_t bytes() const { return f32.size() * 4 + bf16.size() * 2 + int8.size() + scale.size() * 4; }
};

// Keys and values of one sequence: per layer [kv_heads][capacity of the layer][head_dim] fp32.
struct Cache {
    Dims dims;
    int64_t length = 0;
    std::vector<int64_t> capacity;                                   // [layers], all the same but for a failed growth
    std::vector<Buffer<float>> keys, values;                         // [layers]

    Cache fork(int64_t tokens) const;                                // a copy of the first tokens
    explicit Cache(const Dims& d) : dims(d), capacity((size_t)d.layers), keys((size_t)d.layers), values((size_t)d.layers) {}
    Cache(const Cache&) = delete;
    Cache(Cache&&) = default;
    void reserve(int64_t tokens);                                    // grows by doubling, layer by layer, keeps the contents
};

// Tokens of one sequence in a call: m of them, appended to the cache.
struct Span {
    Cache* cache;
    int64_t m;
};

// One sequence of a call; its keys and values up to start + m are in place.
struct Attended {
    const float *keys, *values;                                      // of one layer, [kv_heads][capacity][head_dim]
    int64_t capacity, start, m, first;                               // first: its first row in q and out
};

struct Workspace {
    Buffer<float> hidden, q, k, v, attn, gate, up, out, cos, sin;
    std::vector<Quantized> x;                                        // [groups]
    struct Row { int64_t span, position; };
    std::vector<Row> rows;                                           // of each token of a call
    std::vector<Attended> sequences;
};

enum class Want { nothing, last, all, targets };

// Seconds of a call by what was done in them.
enum class Part : int { norm = 0, linear, attention, rest, head };
struct Profile { double seconds[5] = {}; };

struct Model {
    Dims dims;
    std::vector<Block> blocks;
    Buffer<uint8_t> store;                                           // tiles of all matrices in the order they are read
    int64_t stored = 0;                                              // bytes of it in use
    std::vector<float> final_norm, inv_freq;                         // [hidden], [head_dim / 2]
    Table embedding, head;                                           // head empty: tied to the embedding

    explicit Model(const Dims& d);
    Model(const Model&) = delete;
    Model(Model&&) = delete;
    void set(Linear& layer, Ternary&& w, std::vector<float>&& scale, std::vector<float>&& bias);
    int64_t bytes() const;                                           // of all ternary matrices
    void check_complete() const;
    // Runs the tokens of all spans (ids one after another, m in all) at the positions after their caches, and appends them.
    // out: last [n_spans][vocab], all [m][vocab], targets [m]: log p(target | tokens up to this one), with targets [m].
    // Every number has the same bits whether sequences run together or alone.
    void forward(const Span* spans, int64_t n_spans, const int32_t* ids, Want want, const int32_t* targets, float* out,
                 Profile* profile = nullptr) const;
};

// attention.cpp: q [rows][heads * head_dim] (already rotated), out the same.
void attention(const Dims& d, const float* q, const std::vector<Attended>& sequences, float* out);

}  // namespace kobitnet
