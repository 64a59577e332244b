// A ternary matrix in the layout of kernels.h, and the ways to make one.
#pragma once
#include "buffer.h"
#include "kernels.h"

namespace kobitnet {

struct Ternary {
    int64_t rows = 0, cols = 0;
    int64_t col_tiles = 0;                                           // ceil(cols / 16)
    int64_t steps = 0;                                               // ceil(rows / 32)
    Buffer<uint8_t> own;                                             // empty when the tiles lie in a model's store
    const uint8_t* tiles = nullptr;                                  // [steps][col_tiles][2][64]

    Ternary() = default;
    Ternary(int64_t rows, int64_t cols);                             // shape only
    const uint8_t* step(int64_t s) const { return tiles + s * col_tiles * kPairBytes; }
    int64_t bytes() const { return steps * col_tiles * kPairBytes; }
    Ternary copy_at(uint8_t* place) const;                           // the tiles copied there, which somebody else owns
    int64_t padded_cols() const { return col_tiles * kTile; }
};

// w: [rows, cols], every value in {-1, 0, 1} (else std::invalid_argument).
Ternary from_values(const int8_t* w, int64_t rows, int64_t cols);
// Latents [rows, cols]: round_half_even(w * scale) clamped to [-1, 1].
Ternary from_latents(const float* w, int64_t rows, int64_t cols, float scale);
Ternary from_latents(const uint16_t* bf16, int64_t rows, int64_t cols, float scale);
// transformers' packing: [rows / 4, cols] bytes, row r + i * (rows / 4) in bits 2i; code 3 is refused.
Ternary from_hf(const uint8_t* packed, int64_t rows, int64_t cols);
// ggml's TQ2_0, TQ1_0 and I2_S (kobitnet/engine/ggml.py describes them); cols a multiple of the block; code 3 is refused.
enum class Ggml : int { tq1_0 = 34, tq2_0 = 35, i2_s = 36 };
int64_t ggml_bytes(Ggml kind, int64_t rows, int64_t cols);           // of a whole matrix, -1 for an impossible shape
Ternary from_ggml(const uint8_t* raw, int64_t rows, int64_t cols, Ggml kind);
void to_values(const Ternary& t, int8_t* w);                         // [rows, cols]

}  // namespace kobitnet
