// NEON kernels with the dot-product extension (ARMv8.2-A): 4 rows a register, codes 0..2 are valid signed bytes.
#include "kernels.h"
#define VBYTES 16
#include "floats.inc"
#include <arm_neon.h>

namespace kobitnet {
namespace {

inline int8x16_t plane(uint8x16_t v, int i) {
    const uint8x16_t mask = vdupq_n_u8(3);
    switch (i) {
        case 0: return vreinterpretq_s8_u8(vandq_u8(v, mask));
        case 1: return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(v, 2), mask));
        case 2: return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(v, 4), mask));
        default: return vreinterpretq_s8_u8(vshrq_n_u8(v, 6));
    }
}

void gemv(const uint8_t* pairs, int64_t col_tiles, const int8_t* x, int32_t* raw) {
    int32x4_t acc[8];
    for (int h = 0; h < 8; h++) acc[h] = vdupq_n_s32(0);
    for (int64_t t = 0; t < col_tiles; t++) {
        const int8x16_t xv = vld1q_s8(x + t * 16);                   // lane i of 32 bits = columns 4i .. 4i+3
        for (int h = 0; h < 8; h++) {
            const uint8x16_t v = vld1q_u8(pairs + t * 128 + h * 16);
            acc[h] = vdotq_laneq_s32(acc[h], plane(v, 0), xv, 0);
            acc[h] = vdotq_laneq_s32(acc[h], plane(v, 1), xv, 1);
            acc[h] = vdotq_laneq_s32(acc[h], plane(v, 2), xv, 2);
            acc[h] = vdotq_laneq_s32(acc[h], plane(v, 3), xv, 3);
        }
    }
    for (int h = 0; h < 8; h++) vst1q_s32(raw + 4 * h, acc[h]);
}

void unpack(const uint8_t* pairs, int64_t tiles, uint8_t* codes) {
    for (int64_t t = 0; t < tiles; t++)
        for (int h = 0; h < 8; h++) {
            const uint8x16_t v = vld1q_u8(pairs + t * 128 + h * 16);
            for (int i = 0; i < 4; i++)
                vst1q_u8(codes + (4 * t + i) * 128 + h * 16, vreinterpretq_u8_s8(plane(v, i)));
        }
}

// 16 rows (four registers) x C columns.
template <int C>
void gemm_half(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int32_t* acc) {
    int32x4_t a[C][4];
    for (int c = 0; c < C; c++) for (int h = 0; h < 4; h++) a[c][h] = vld1q_s32(acc + c * 32 + h * 4);
    for (int64_t s = 0; s < ksteps; s++) {
        int8x16_t w[4];
        for (int h = 0; h < 4; h++) w[h] = vreinterpretq_s8_u8(vld1q_u8(codes + s * 128 + h * 16));
        for (int c = 0; c < C; c++) {
            int32_t four;
            memcpy(&four, xp + (s * C + c) * 4, 4);
            const int8x16_t xb = vreinterpretq_s8_s32(vdupq_n_s32(four));
            for (int h = 0; h < 4; h++) a[c][h] = vdotq_s32(a[c][h], w[h], xb);
        }
    }
    for (int c = 0; c < C; c++) for (int h = 0; h < 4; h++) vst1q_s32(acc + c * 32 + h * 4, a[c][h]);
}

void gemm(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int cols, int32_t* acc) {
    for (int h = 0; h < 2; h++)
        switch (cols) {
            case 2: gemm_half<2>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
            case 4: gemm_half<4>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
            case 6: gemm_half<6>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
        }
}

const Kernels table = {"neon", 6, 2, gemv, unpack, gemm, dot, dot_table, weighted_sum, softmax, rms_norm, quantize, activate,
                       log_sum_exp, read};

}  // namespace

const Kernels* kernels_neon() { return &table; }

}  // namespace kobitnet
