// Plain C++ kernels: the definition of the layout, and the path for every other CPU.
#include "kernels.h"
#define VBYTES 16
#include "floats.inc"

namespace kobitnet {
namespace {

void gemv(const uint8_t* pairs, int64_t col_tiles, const int8_t* x, int32_t* raw) {
    for (int g = 0; g < 2; g++) {
        int32_t acc[16] = {};
        for (int64_t t = 0; t < col_tiles; t++)
            for (int i = 0; i < 4; i++)
                for (int r = 0; r < 16; r++)
                    for (int j = 0; j < 4; j++)
                        acc[r] += ((pairs[t * 128 + 64 * g + 4 * r + j] >> (2 * i)) & 3) * x[t * 16 + 4 * i + j];
        memcpy(raw + 16 * g, acc, sizeof acc);
    }
}

void unpack(const uint8_t* pairs, int64_t tiles, uint8_t* codes) {
    for (int64_t t = 0; t < tiles; t++)
        for (int i = 0; i < 4; i++)
            for (int b = 0; b < 128; b++) codes[(4 * t + i) * 128 + b] = (pairs[t * 128 + b] >> (2 * i)) & 3;
}

void gemm(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int cols, int32_t* acc) {
    for (int64_t s = 0; s < ksteps; s++)
        for (int c = 0; c < cols; c++)
            for (int r = 0; r < 32; r++)
                for (int j = 0; j < 4; j++)
                    acc[c * 32 + r] += codes[s * 128 + 4 * r + j] * xp[(s * cols + c) * 4 + j];
}

const Kernels table = {"plain", 4, 1, gemv, unpack, gemm, dot, dot_table, weighted_sum, softmax, rms_norm, quantize, activate,
                       log_sum_exp, read};

}  // namespace

const Kernels* kernels_plain() { return &table; }

}  // namespace kobitnet
