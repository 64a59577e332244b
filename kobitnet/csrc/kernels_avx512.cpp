// AVX-512 VNNI kernels: 16 rows a register.
#include "kernels.h"
#define VBYTES 64
#include "floats.inc"
#include <immintrin.h>

#define INLINE inline __attribute__((always_inline))

namespace kobitnet {
namespace {

// acc += u8 codes * s8 x, four products a lane. Inline asm: gcc 12 spills around the intrinsic.
inline void dp(__m512i& acc, __m512i codes, __m512i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
}
inline __m512i bcast4(const int8_t* x) { int32_t v; memcpy(&v, x, 4); return _mm512_set1_epi32(v); }
inline __m512i load512(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline __m512i join(__m512i a0, __m512i a1, __m512i a2, __m512i a3) {
    return _mm512_add_epi32(_mm512_add_epi32(a0, _mm512_srai_epi32(a1, 2)),
                            _mm512_add_epi32(_mm512_srai_epi32(a2, 4), _mm512_srai_epi32(a3, 6)));
}

// The planes are not shifted down: plane i is summed 4^i times too large and divided at the end, exactly.
void gemv(const uint8_t* pairs, int64_t col_tiles, const int8_t* x, int32_t* raw) {
    const __m512i m0 = _mm512_set1_epi8(3), m1 = _mm512_set1_epi8(12), m2 = _mm512_set1_epi8(48),
                  m3 = _mm512_set1_epi8((char)192);
    __m512i a0 = _mm512_setzero_si512(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (int64_t t = 0; t < col_tiles; t++) {
        __builtin_prefetch(pairs + t * 128 + kAhead);
        __builtin_prefetch(pairs + t * 128 + kAhead + 64);
        const __m512i u = load512(pairs + t * 128), v = load512(pairs + t * 128 + 64);
        const __m512i x0 = bcast4(x + t * 16), x1 = bcast4(x + t * 16 + 4), x2 = bcast4(x + t * 16 + 8),
                      x3 = bcast4(x + t * 16 + 12);
        dp(a0, _mm512_and_si512(u, m0), x0); dp(b0, _mm512_and_si512(v, m0), x0);
        dp(a1, _mm512_and_si512(u, m1), x1); dp(b1, _mm512_and_si512(v, m1), x1);
        dp(a2, _mm512_and_si512(u, m2), x2); dp(b2, _mm512_and_si512(v, m2), x2);
        dp(a3, _mm512_and_si512(u, m3), x3); dp(b3, _mm512_and_si512(v, m3), x3);
    }
    _mm512_storeu_si512(raw, join(a0, a1, a2, a3));
    _mm512_storeu_si512(raw + 16, join(b0, b1, b2, b3));
}

void unpack(const uint8_t* pairs, int64_t tiles, uint8_t* codes) {
    const __m512i mask = _mm512_set1_epi8(3);
    for (int64_t t = 0; t < tiles; t++)
        for (int g = 0; g < 2; g++) {
            const __m512i v = load512(pairs + t * 128 + g * 64);
            uint8_t* out = codes + 4 * t * 128 + g * 64;
            _mm512_storeu_si512(out, _mm512_and_si512(v, mask));
            _mm512_storeu_si512(out + 128, _mm512_and_si512(_mm512_srli_epi16(v, 2), mask));
            _mm512_storeu_si512(out + 256, _mm512_and_si512(_mm512_srli_epi16(v, 4), mask));
            _mm512_storeu_si512(out + 384, _mm512_and_si512(_mm512_srli_epi16(v, 6), mask));
        }
}

// 32 rows (two registers) x C columns, a column a level: members of a nested struct stay in registers, where gcc 12
// leaves an array of accumulators on the stack and stores it after every instruction.
template <int C>
struct Columns {
    Columns<C - 1> before;
    __m512i a, b;
    INLINE void load(const int32_t* acc) {
        before.load(acc);
        a = _mm512_loadu_si512(acc + (C - 1) * 32);
        b = _mm512_loadu_si512(acc + (C - 1) * 32 + 16);
    }
    INLINE void step(__m512i w0, __m512i w1, const int8_t* xp) {
        before.step(w0, w1, xp);
        const __m512i x = bcast4(xp + (C - 1) * 4);
        dp(a, w0, x);
        dp(b, w1, x);
    }
    INLINE void store(int32_t* acc) const {
        before.store(acc);
        _mm512_storeu_si512(acc + (C - 1) * 32, a);
        _mm512_storeu_si512(acc + (C - 1) * 32 + 16, b);
    }
};
template <>
struct Columns<0> {
    INLINE void load(const int32_t*) {}
    INLINE void step(__m512i, __m512i, const int8_t*) {}
    INLINE void store(int32_t*) const {}
};

template <int C>
void gemm_cols(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int32_t* acc) {
    Columns<C> columns;
    columns.load(acc);
    for (int64_t s = 0; s < ksteps; s++)
        columns.step(load512(codes + s * 128), load512(codes + s * 128 + 64), xp + s * C * 4);
    columns.store(acc);
}

void gemm(const uint8_t* codes, int64_t ksteps, const int8_t* xp, int cols, int32_t* acc) {
    switch (cols) {
        case 4: gemm_cols<4>(codes, ksteps, xp, acc); break;
        case 8: gemm_cols<8>(codes, ksteps, xp, acc); break;
        case 12: gemm_cols<12>(codes, ksteps, xp, acc); break;
    }
}

const Kernels table = {"avx512vnni", 12, 4, gemv, unpack, gemm, dot, dot_table, weighted_sum, softmax, rms_norm, quantize,
                       activate, log_sum_exp, read};

}  // namespace

const Kernels* kernels_avx512() { return &table; }

}  // namespace kobitnet
