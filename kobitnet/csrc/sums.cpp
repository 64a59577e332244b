// Sums in torch's order, so that a norm and a weight scale have the very bits of training: 4 x 8 interleaved float lanes, added up
// in blocks of blocks, from 8 numbers on (torch's row_sum and multi_row_sum in native/cpu/SumKernel.cpp; its vectors have 8 lanes on every
// x86-64 and arm64 CPU). Compiled for the base instruction set and without contraction: squares are rounded before they are added.
#include "sums.h"
#include <cmath>
#include <cstring>

namespace kobitnet {
namespace {

typedef float f8 __attribute__((vector_size(32)));

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

template <typename Value>
inline float total(int64_t n, const Value& value) {                  // value(i): the number at i
    float lanes[8], sum = 0.0f;
    cascade(n / 8, [&](int64_t i, f8& v) { for (int j = 0; j < 8; j++) v[j] = value(8 * i + j); }, lanes);
    for (int64_t i = n / 8 * 8; i < n; i++) sum += value(i);
    for (float lane : lanes) sum += lane;
    return sum;
}

}  // namespace

float sum_squares(const float* x, int64_t n) { return total(n, [x](int64_t i) { return x[i] * x[i]; }); }

float sum_abs(const float* w, int64_t n) { return total(n, [w](int64_t i) { return std::fabs(w[i]); }); }

float sum_abs(const uint16_t* w, int64_t n) {
    return total(n, [w](int64_t i) {
        const uint32_t u = (uint32_t)(w[i] & 0x7FFF) << 16;
        float f;
        std::memcpy(&f, &u, 4);
        return f;
    });
}

}  // namespace kobitnet
