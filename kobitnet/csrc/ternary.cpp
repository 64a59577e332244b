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
            uint8_t* step = t.own.data() + s * t.col_tiles * kPairBytes;
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

}  // namespace

Ternary::Ternary(int64_t rows_, int64_t cols_) : rows(rows_), cols(cols_) {
    if (rows < 1 || cols < 1 || cols > kMaxColumns || rows > (int64_t(1) << 31))
        throw std::invalid_argument("ternary matrix: rows or columns out of range");
    col_tiles = (cols + kTile - 1) / kTile;
    steps = (rows + kStepRows - 1) / kStepRows;
    own.resize(bytes());
    tiles = own.data();
}

Ternary Ternary::copy_at(uint8_t* place) const {
    std::memcpy(place, tiles, (size_t)bytes());
    Ternary t;
    t.rows = rows;
    t.cols = cols;
    t.col_tiles = col_tiles;
    t.steps = steps;
    t.tiles = place;
    return t;
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

int64_t ggml_bytes(Ggml kind, int64_t rows, int64_t cols) {
    const int64_t block = kind == Ggml::i2_s ? 128 : 256, size = kind == Ggml::i2_s ? 32 : kind == Ggml::tq2_0 ? 66 : 54;
    if (rows < 1 || cols < 1 || cols > kMaxColumns || rows > (int64_t(1) << 31) || cols % block) return -1;
    return rows * (cols / block) * size + (kind == Ggml::i2_s ? 32 : 0);
}

Ternary from_ggml(const uint8_t* raw, int64_t rows, int64_t cols, Ggml kind) {
    if (ggml_bytes(kind, rows, cols) < 0) throw std::invalid_argument("ggml matrix: rows or columns out of range");
    std::atomic<bool> bad{false};
    Ternary t = pack(rows, cols, [&](int64_t row, uint8_t* out) {
        if (kind == Ggml::tq1_0) {
            static const uint8_t power[5] = {1, 3, 9, 27, 81};
            const uint8_t* p = raw + row * (cols / 256) * 54;
            for (int64_t k = 0; k < cols; k += 256, p += 54, out += 256) {
                auto digit = [](uint8_t byte, int n) { return (uint8_t)(((uint8_t)(byte * power[n]) * 3) >> 8); };
                for (int n = 0; n < 5; n++) {
                    for (int m = 0; m < 32; m++) out[m + 32 * n] = digit(p[m], n);
                    for (int m = 0; m < 16; m++) out[160 + m + 16 * n] = digit(p[32 + m], n);
                }
                for (int n = 0; n < 4; n++) for (int j = 0; j < 4; j++) out[240 + j + 4 * n] = digit(p[48 + j], n);
            }
            return;                                                  // a digit is never 3
        }
        unsigned three = 0;
        if (kind == Ggml::tq2_0) {
            const uint8_t* p = raw + row * (cols / 256) * 66;
            for (int64_t k = 0; k < cols; k += 256, p += 66, out += 256)
                for (int half = 0; half < 2; half++)
                    for (int i = 0; i < 4; i++)
                        for (int m = 0; m < 32; m++) {
                            const uint8_t code = (p[32 * half + m] >> (2 * i)) & 3;
                            three |= code & (code >> 1);
                            out[128 * half + 32 * i + m] = code;
                        }
        } else {
            const uint8_t* p = raw + row * (cols / 128) * 32;
            for (int64_t k = 0; k < cols; k += 128, p += 32, out += 128)
                for (int i = 0; i < 4; i++)
                    for (int m = 0; m < 32; m++) {
                        const uint8_t code = (p[m] >> (6 - 2 * i)) & 3;
                        three |= code & (code >> 1);
                        out[32 * i + m] = code;
                    }
        }
        if (three) bad.store(true, std::memory_order_relaxed);
    });
    if (bad) throw std::invalid_argument("ggml matrix: code 3 is not a ternary weight");
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

}  // namespace kobitnet
