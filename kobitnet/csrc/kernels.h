// The table of functions that each instruction set fills in. Only C types cross it.
//
// Ternary layout (one for GEMV and GEMM). A tile is 16 rows x 16 columns in 64 bytes: byte 4*r + j holds four codes,
// bits 2i..2i+1 (i = 0..3) the code w+1 in {0,1,2} of row r, column 4*i + j. Two tiles, rows 0..15 and 16..31 of a step
// of 32 rows, lie side by side (128 bytes), and these pairs one after another along the columns: a step is one stream.
// Rows are padded to a multiple of 32, columns to 16; padding codes are 1 (w = 0), padded activations 0.
//
// Kernels return raw[r] = sum_k (w[r][k] + 1) * x[k]; the caller subtracts sum_k x[k]. Everything is int32 and exact
// for every int8 input while columns <= kMaxColumns.
#pragma once
#include <cstdint>

namespace kobitnet {

constexpr int64_t kPairBytes = 128;          // two tiles side by side
constexpr int64_t kTile = 16;               // rows and columns of a tile
constexpr int64_t kStepRows = 32;           // rows GEMV and GEMM work on together
constexpr int64_t kAhead = 4096;            // bytes fetched ahead: an access to memory takes as long as these do
constexpr int64_t kMaxColumns = 1 << 18;    // 2^7 * 2^7 * (columns / 4) must stay below 2^31 in the widest bit plane

enum class Activation : int { relu2 = 0, silu = 1 };

// A matrix stored as fp32, bf16 or int8 with one scale a row; exactly one pointer is set. Bands of 8 rows lie interleaved by
// cache lines, [columns / L][8][L] with L elements of 64 bytes: a product reads one stream, not eight. Rows are padded to a
// multiple of 8, columns to one of L.
constexpr int64_t kBandRows = 8;
constexpr int64_t kLine = 64;
struct BandedRows {
    const float* f32 = nullptr;
    const uint16_t* bf16 = nullptr;
    const int8_t* int8 = nullptr;
    const float* scale = nullptr;           // of int8: value = scale[row] * int8
    int64_t stride = 0;                     // elements of a row, padding included
};

struct Kernels {
    const char* name;
    int max_cols;                           // activation columns one gemm call takes
    int col_step;                           // ... rounded up to a multiple of this

    // raw[32] of one step; pairs: its col_tiles pairs of tiles; x: [16 * col_tiles].
    void (*gemv)(const uint8_t* pairs, int64_t col_tiles, const int8_t* x, int32_t* raw);
    // codes[4 * t + i][128] <- plane i of pair t, t < tiles.
    void (*unpack)(const uint8_t* pairs, int64_t tiles, uint8_t* codes);
    // acc[c][32] += sum over k-steps; xp: [ksteps][cols][4], cols a multiple of col_step and <= max_cols.
    void (*gemm)(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int cols, int32_t* acc);

    // out[t * ldo + r] = sum_k rows[r][k] * toks[t][k]. The order of additions of one element depends on n only.
    void (*dot)(const float* rows, int64_t stride, int64_t n_rows, const float* toks, int64_t ldt, int64_t n_toks,
                int64_t n, float* out, int64_t ldo);
    void (*dot_table)(const BandedRows& rows, int64_t n_rows, const float* toks, int64_t ldt, int64_t n_toks, int64_t n,
                      float* out, int64_t ldo);
    // out[q][d] = sum_j p[q * ldp + j] * v[j * ldv + d], j ascending.
    void (*weighted_sum)(const float* p, int64_t ldp, int64_t n_q, const float* v, int64_t ldv, int64_t n, int64_t d,
                         float* out, int64_t ldo);
    // s[i] <- exp(s[i] * scale - max) / sum
    void (*softmax)(float* s, int64_t n, float scale);
    // out = w * (x / sqrt(mean(x^2) + eps))
    void (*rms_norm)(const float* x, const float* w, int64_t n, float eps, float* out);
    // q[i] = clamp(round_half_even(x[i] * s), -128, 127), s = (1 / max(absmax, 1e-5)) * 127; q padded with 0 up to n_pad.
    void (*quantize)(const float* x, int64_t n, int64_t n_pad, int8_t* q, float* scale, int32_t* sum);
    // gate[i] = act(gate[i]) * up[i]
    void (*activate)(float* gate, const float* up, int64_t n, Activation kind);
    // log(sum(exp(x)))
    double (*log_sum_exp)(const float* x, int64_t n);
    // Some sum of n bytes: how fast memory can be read.
    uint32_t (*read)(const uint8_t* bytes, int64_t n);
};

const Kernels* kernels_plain();
const Kernels* kernels_avx2();
const Kernels* kernels_avxvnni();
const Kernels* kernels_vnni256();
const Kernels* kernels_avx512();
const Kernels* kernels_neon();

// dispatch.cpp: names of the paths this CPU runs, best first; the one in use (KOBITNET_ISA or the best).
int isa_count();
const char* isa_name(int i);
const Kernels& kernels();
bool choose_isa(const char* name);          // false: unknown here

}  // namespace kobitnet
