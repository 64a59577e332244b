// 256-bit VNNI kernels, compiled twice: with the VEX encoding (AVX-VNNI: client CPUs without AVX-512) and with the
// EVEX encoding (AVX-512 VL), which lets the same code be tested on AVX-512 machines.
#include "kernels.h"
#define VBYTES 32
#include "floats.inc"
#include <immintrin.h>

#define INLINE inline __attribute__((always_inline))

#ifdef KOBITNET_VEX
#define DPBUSD "%{vex%} vpdpbusd"
#define REG "x"
#else
#define DPBUSD "vpdpbusd"
#define REG "v"
#endif

namespace kobitnet {
namespace {

// acc += u8 codes * s8 x, four products a lane. Inline asm: gcc 12 spills around the intrinsic.
inline void dp(__m256i& acc, __m256i codes, __m256i x) {
    asm(DPBUSD " %2, %1, %0" : "+" REG(acc) : REG(codes), REG(x));
}
inline __m256i bcast4(const int8_t* x) { int32_t v; memcpy(&v, x, 4); return _mm256_set1_epi32(v); }
inline __m256i load256(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }

struct Rows {                                                        // two chains hide the latency
    __m256i a = _mm256_setzero_si256(), b = _mm256_setzero_si256();
    INLINE void step(__m256i v, __m256i mask, __m256i x0, __m256i x1, __m256i x2, __m256i x3) {
        dp(a, _mm256_and_si256(v, mask), x0);
        dp(b, _mm256_and_si256(_mm256_srli_epi16(v, 2), mask), x1);
        dp(a, _mm256_and_si256(_mm256_srli_epi16(v, 4), mask), x2);
        dp(b, _mm256_and_si256(_mm256_srli_epi16(v, 6), mask), x3);
    }
    INLINE void store(int32_t* raw) const { _mm256_storeu_si256((__m256i*)raw, _mm256_add_epi32(a, b)); }
};

void gemv(const uint8_t* pairs, int64_t col_tiles, const int8_t* x, int32_t* raw) {
    const __m256i mask = _mm256_set1_epi8(3);
    Rows r0, r1, r2, r3;                                             // 8 rows each
    for (int64_t t = 0; t < col_tiles; t++) {
        const __m256i x0 = bcast4(x + t * 16), x1 = bcast4(x + t * 16 + 4), x2 = bcast4(x + t * 16 + 8),
                      x3 = bcast4(x + t * 16 + 12);
        const uint8_t* p = pairs + t * 128;
        r0.step(load256(p), mask, x0, x1, x2, x3);
        r1.step(load256(p + 32), mask, x0, x1, x2, x3);
        r2.step(load256(p + 64), mask, x0, x1, x2, x3);
        r3.step(load256(p + 96), mask, x0, x1, x2, x3);
    }
    r0.store(raw);
    r1.store(raw + 8);
    r2.store(raw + 16);
    r3.store(raw + 24);
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

// 16 rows (two registers) x C columns, a column a level: members of a nested struct stay in registers, where gcc 12
// leaves an array of accumulators on the stack and stores it after every instruction.
template <int C>
struct Columns {
    Columns<C - 1> before;
    __m256i a, b;
    INLINE void load(const int32_t* acc) {
        before.load(acc);
        a = _mm256_loadu_si256((const __m256i*)(acc + (C - 1) * 32));
        b = _mm256_loadu_si256((const __m256i*)(acc + (C - 1) * 32 + 8));
    }
    INLINE void step(__m256i w0, __m256i w1, const int8_t* xp) {
        before.step(w0, w1, xp);
        const __m256i x = bcast4(xp + (C - 1) * 4);
        dp(a, w0, x);
        dp(b, w1, x);
    }
    INLINE void store(int32_t* acc) const {
        before.store(acc);
        _mm256_storeu_si256((__m256i*)(acc + (C - 1) * 32), a);
        _mm256_storeu_si256((__m256i*)(acc + (C - 1) * 32 + 8), b);
    }
};
template <>
struct Columns<0> {
    INLINE void load(const int32_t*) {}
    INLINE void step(__m256i, __m256i, const int8_t*) {}
    INLINE void store(int32_t*) const {}
};

template <int C>
void gemm_half(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int32_t* acc) {
    Columns<C> columns;
    columns.load(acc);
    for (int64_t s = 0; s < ksteps; s++)
        columns.step(load256(codes + s * 128), load256(codes + s * 128 + 32), xp + s * C * 4);
    columns.store(acc);
}

void gemm(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int cols, int32_t* acc) {
    for (int h = 0; h < 2; h++)
        switch (cols) {
            case 2: gemm_half<2>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
            case 4: gemm_half<4>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
            case 6: gemm_half<6>(codes + 64 * h, ksteps, xp, acc + 16 * h); break;
        }
}

#ifdef KOBITNET_VEX
const Kernels table = {"avxvnni", 6, 2, gemv, unpack, gemm, dot, dot_table, weighted_sum, softmax, rms_norm, quantize, activate,
                       log_sum_exp, read};
#else
const Kernels table = {"avx512vnni-256", 6, 2, gemv, unpack, gemm, dot, dot_table, weighted_sum, softmax, rms_norm, quantize,
                       activate, log_sum_exp, read};
#endif

}  // namespace

#ifdef KOBITNET_VEX
const Kernels* kernels_avxvnni() { return &table; }
#else
const Kernels* kernels_vnni256() { return &table; }
#endif

}  // namespace kobitnet
