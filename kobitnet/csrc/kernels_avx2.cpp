// AVX2 kernels: maddubs into int16, flushed to int32 before it can overflow (one step adds at most 2*2*128 = 512 in
// magnitude, so 63 steps are safe; we flush after 60).
#include "kernels.h"
#define VBYTES 32
#include "floats.inc"
#include <immintrin.h>

namespace kobitnet {
namespace {

inline __m256i bcast4(const int8_t* x) { int32_t v; memcpy(&v, x, 4); return _mm256_set1_epi32(v); }
inline __m256i load256(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
inline __m256i widen(__m256i acc, __m256i a16) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a16, _mm256_set1_epi16(1)));
}

void gemv(const uint8_t* pairs, int64_t col_tiles, const int8_t* x, int32_t* raw) {
    const __m256i mask = _mm256_set1_epi8(3);
    __m256i acc[4] = {};
    for (int64_t t = 0; t < col_tiles;) {
        __m256i a16[4] = {};
        int64_t end = t + 15 < col_tiles ? t + 15 : col_tiles;       // 15 tiles = 60 steps
        for (; t < end; t++) {
            const uint8_t* p = pairs + t * 128;
            const __m256i v[4] = {load256(p), load256(p + 32), load256(p + 64), load256(p + 96)};
            const __m256i x0 = bcast4(x + t * 16), x1 = bcast4(x + t * 16 + 4), x2 = bcast4(x + t * 16 + 8),
                          x3 = bcast4(x + t * 16 + 12);
            for (int h = 0; h < 4; h++) {
                __m256i s = _mm256_maddubs_epi16(_mm256_and_si256(v[h], mask), x0);
                s = _mm256_add_epi16(s, _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v[h], 2), mask), x1));
                s = _mm256_add_epi16(s, _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v[h], 4), mask), x2));
                s = _mm256_add_epi16(s, _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v[h], 6), mask), x3));
                a16[h] = _mm256_add_epi16(a16[h], s);
            }
        }
        for (int h = 0; h < 4; h++) acc[h] = widen(acc[h], a16[h]);
    }
    for (int h = 0; h < 4; h++) _mm256_storeu_si256((__m256i*)(raw + 8 * h), acc[h]);
}

void unpack(const uint8_t* pairs, int64_t tiles, uint8_t* codes) {
    const __m256i mask = _mm256_set1_epi8(3);
    for (int64_t t = 0; t < tiles; t++)
        for (int h = 0; h < 4; h++) {
            __m256i v = load256(pairs + t * 128 + h * 32);
            uint8_t* out = codes + 4 * t * 128 + h * 32;
            _mm256_storeu_si256((__m256i*)out, _mm256_and_si256(v, mask));
            _mm256_storeu_si256((__m256i*)(out + 128), _mm256_and_si256(_mm256_srli_epi16(v, 2), mask));
            _mm256_storeu_si256((__m256i*)(out + 256), _mm256_and_si256(_mm256_srli_epi16(v, 4), mask));
            _mm256_storeu_si256((__m256i*)(out + 384), _mm256_and_si256(_mm256_srli_epi16(v, 6), mask));
        }
}

// Half h (two of the four 8-row registers) x C columns: 2 * C int16 accumulators in registers.
template <int C>
void gemm_half(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int32_t* acc) {
    for (int64_t s = 0; s < ksteps;) {
        __m256i a16[C][2];
        for (int c = 0; c < C; c++) a16[c][0] = a16[c][1] = _mm256_setzero_si256();
        int64_t end = s + 60 < ksteps ? s + 60 : ksteps;
        for (; s < end; s++) {
            const __m256i w0 = load256(codes + s * 128), w1 = load256(codes + s * 128 + 32);
            for (int c = 0; c < C; c++) {
                const __m256i xb = bcast4(xp + (s * C + c) * 4);
                a16[c][0] = _mm256_add_epi16(a16[c][0], _mm256_maddubs_epi16(w0, xb));
                a16[c][1] = _mm256_add_epi16(a16[c][1], _mm256_maddubs_epi16(w1, xb));
            }
        }
        for (int c = 0; c < C; c++) for (int h = 0; h < 2; h++) {
            __m256i* out = (__m256i*)(acc + c * 32 + h * 8);
            _mm256_storeu_si256(out, widen(_mm256_loadu_si256(out), a16[c][h]));
        }
    }
}

void gemm(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int cols, int32_t* acc) {
    for (int h = 0; h < 2; h++)
        switch (cols) {
            case 1: gemm_half<1>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
            case 2: gemm_half<2>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
            case 3: gemm_half<3>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
            case 4: gemm_half<4>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
        }
}

const Kernels table = {"avx2", 4, 1, gemv, unpack, gemm, dot, dot_table, weighted_sum, softmax, rms_norm, quantize, activate,
                       log_sum_exp, read};

}  // namespace

const Kernels* kernels_avx2() { return &table; }

}  // namespace kobitnet
