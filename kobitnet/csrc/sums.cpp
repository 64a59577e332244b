// Sums in torch's order, so that a norm and a weight scale have the very bits of training: 4 x 8 interleaved float lanes, added up
// in blocks of blocks, from 8 numbers on (torch's row_sum and multi_row_sum in native/cpu/SumKernel.cpp; its vectors have 8 lanes on every
// x86-64 and arm64 CPU). Compiled for the base instruction set and without contraction: squares are rounded before they are added.
#include "sums.h"
#include <cstring>

namespace kobitnet {
namespace {

typedef float f8 __attribute__((vector_size(32)));

inline void load(const float* p, f8& v) { std::memcpy(&v, p, sizeof v); }
inline void load(const uint16_t* p, f8& v) {                         // bf16
    for (int j = 0; j < 8; j++) {
        const uint32_t u = (uint32_t)p[j] << 16;
        std::memcpy((char*)&v + 4 * j, &u, 4);
    }
}

// Lanes of vector 0 + vector 1 + ...; at(i, v) sets v to vector i.
template <typename At>
inline void cascade(int64_t vectors, const At& at, float* lanes) {
    const int64_t size = vectors / 4;
    int64_t log = 0;
    while ((int64_t(1) << log) < size) log++;
    const int64_t power = log / 4 > 4 ? log / 4 : 4, step = int64_t(1) << power;
    f8 acc[4][4] = {};
    f8 v;
    int64_t i = 0;
    while (i + step <= size) {
        for (int64_t j = 0; j < step; j++, i++)
            for (int k = 0; k < 4; k++) { at(4 * i + k, v); acc[0][k] += v; }
        for (int level = 1; level < 4; level++) {
            for (int k = 0; k < 4; k++) { acc[level][k] += acc[level - 1][k]; acc[level - 1][k] = f8{}; }
            if (i & ((step - 1) << (level * power))) break;
        }
    }
    for (; i < size; i++) for (int k = 0; k < 4; k++) { at(4 * i + k, v); acc[0][k] += v; }
    for (int level = 1; level < 4; level++) for (int k = 0; k < 4; k++) acc[0][k] += acc[level][k];
    for (i = 4 * size; i < vectors; i++) { at(i, v); acc[0][0] += v; }
    for (int k = 1; k < 4; k++) acc[0][0] += acc[0][k];
    std::memcpy(lanes, &acc[0][0], 32);
}

// Sum of each(x[i]); each takes a vector by reference, so that all lanes are computed at once.
template <typename E, typename Each>
inline float total(const E* x, int64_t n, const Each& each) {
    float lanes[8], sum = 0.0f;
    cascade(n / 8, [&](int64_t i, f8& v) { load(x + 8 * i, v); each(v); }, lanes);
    for (int64_t i = n / 8 * 8; i < n; i++) {
        E last[8] = {x[i]};
        f8 v;
        load(last, v);
        each(v);
        sum += v[0];
    }
    for (float lane : lanes) sum += lane;
    return sum;
}

inline void square(f8& v) { v *= v; }
inline void magnitude(f8& v) { v = v < 0.0f ? -v : v; }

}  // namespace

float sum_squares(const float* x, int64_t n) { return total(x, n, square); }

float sum_abs(const float* w, int64_t n) { return total(w, n, magnitude); }

float sum_abs(const uint16_t* w, int64_t n) { return total(w, n, magnitude); }

}  // namespace kobitnet
