#include "ternary.h"
#include "threads.h"
#include <atomic>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace kobitnet {
namespace {

inline float to_float(float x) { return x; }
inline float to_float(uint16_t x) {
    const uint32_t u = (uint32_t)x << 16;
    float f;
    std::memcpy(&f, &u, 4);
    return f;
}

// code(row, cols, out): writes the codes of one row, one byte each.
template <typename Code>
Ternary pack(int64_t rows, int64_t cols, const Code& code) {
    Ternary t(rows, cols);
    parallel_for(t.steps, 2, [&](int64_t begin, int64_t end) {
        std::vector<uint8_t> line((size_t)t.padded_cols(), 1);       // padding columns keep code 1
        for (int64_t s = begin; s < end; s++) {
            uint8_t* step = t.tiles.data() + s * t.col_tiles * kPairBytes;
            std::memset(step, 0, (size_t)(t.col_tiles * kPairBytes));
            for (int64_t r = 0; r < kStepRows; r++) {                // byte 4 * r of a pair: rows 16.. start at byte 64
                const int64_t row = s * kStepRows + r;
                if (row < rows) code(row, line.data());
                else std::memset(line.data(), 1, line.size());
                for (int64_t c = 0; c < t.col_tiles; c++)
                    for (int i = 0; i < 4; i++)
                        for (int j = 0; j < 4; j++)
                            step[c * kPairBytes + 4 * r + j] |= (uint8_t)(line[(size_t)(c * 16 + 4 * i + j)] << (2 * i));
            }
        }
    });
    return t;
}

template <typename E>
Ternary latents(const E* w, int64_t rows, int64_t cols, float scale) {
    return pack(rows, cols, [=](int64_t row, uint8_t* out) {
        const E* p = w + row * cols;
        for (int64_t k = 0; k < cols; k++) {
            // round_half_even(v) clamped to [-1, 1] is +1 above 0.5, -1 below -0.5, else 0 (ties go to 0)
            const float v = to_float(p[k]) * scale;
            out[k] = (uint8_t)(1 + (v > 0.5f) - (v < -0.5f));
        }
    });
}

template <typename E>
double absolute(const E* w, int64_t n) {
    constexpr int64_t block = 1 << 14;                               // partial sums do not depend on the threads
    const int64_t blocks = (n + block - 1) / block;
    std::vector<double> part((size_t)blocks);
    parallel_for(blocks, 16, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; b++) {
            const int64_t last = (b + 1) * block < n ? (b + 1) * block : n;
            double s[8] = {};
            int64_t i = b * block;
            for (; i + 8 <= last; i += 8) for (int j = 0; j < 8; j++) s[j] += (double)std::fabs(to_float(w[i + j]));
            for (; i < last; i++) s[0] += (double)std::fabs(to_float(w[i]));
            part[(size_t)b] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
        }
    });
    double total = 0.0;
    for (double p : part) total += p;
    return total;
}

}  // namespace

Ternary::Ternary(int64_t rows_, int64_t cols_) : rows(rows_), cols(cols_) {
    if (rows < 1 || cols < 1 || cols > kMaxColumns || rows > (int64_t(1) << 31))
        throw std::invalid_argument("ternary matrix: rows or columns out of range");
    col_tiles = (cols + kTile - 1) / kTile;
    steps = (rows + kStepRows - 1) / kStepRows;
    tiles.resize(steps * col_tiles * kPairBytes);
}

Ternary from_values(const int8_t* w, int64_t rows, int64_t cols) {
    std::atomic<bool> bad{false};
    Ternary t = pack(rows, cols, [&](int64_t row, uint8_t* out) {
        for (int64_t k = 0; k < cols; k++) {
            const int v = w[row * cols + k];
            if (v < -1 || v > 1) bad.store(true, std::memory_order_relaxed);
            out[k] = (uint8_t)((v + 1) & 3);
        }
    });
    if (bad) throw std::invalid_argument("ternary matrix: a value is not -1, 0 or 1");
    return t;
}

Ternary from_latents(const float* w, int64_t rows, int64_t cols, float scale) { return latents(w, rows, cols, scale); }
Ternary from_latents(const uint16_t* w, int64_t rows, int64_t cols, float scale) { return latents(w, rows, cols, scale); }

Ternary from_hf(const uint8_t* packed, int64_t rows, int64_t cols) {
    if (rows % 4 != 0) throw std::invalid_argument("packed matrix: rows must be a multiple of 4");
    const int64_t quarter = rows / 4;
    std::atomic<bool> bad{false};
    Ternary t = pack(rows, cols, [&](int64_t row, uint8_t* out) {
        const int shift = 2 * (int)(row / quarter);
        const uint8_t* p = packed + (row % quarter) * cols;
        for (int64_t k = 0; k < cols; k++) {
            const int v = (p[k] >> shift) & 3;
            if (v == 3) bad.store(true, std::memory_order_relaxed);
            out[k] = (uint8_t)v;
        }
    });
    if (bad) throw std::invalid_argument("packed matrix: code 3 is not a ternary weight");
    return t;
}

void to_values(const Ternary& t, int8_t* w) {
    parallel_for(t.rows, 64, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const uint8_t* step = t.step(row / kStepRows) + 4 * (row % kStepRows);
            for (int64_t k = 0; k < t.cols; k++) {
                const uint8_t b = step[(k / 16) * kPairBytes + k % 4];
                w[row * t.cols + k] = (int8_t)(((b >> (2 * ((k % 16) / 4))) & 3) - 1);
            }
        }
    });
}

double sum_abs(const float* w, int64_t n) { return absolute(w, n); }
double sum_abs(const uint16_t* w, int64_t n) { return absolute(w, n); }

}  // namespace kobitnet
