// The embedding and head tables: fp32, bf16, or int8 with a scale a row.
#include "model.h"
#include "threads.h"
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace kobitnet {
namespace {

inline float widen(uint16_t half) {
    const uint32_t u = (uint32_t)half << 16;
    float f;
    std::memcpy(&f, &u, 4);
    return f;
}

inline uint16_t narrow(float x) {                                    // finite x, rounded half to even
    uint32_t u;
    std::memcpy(&u, &x, 4);
    return (uint16_t)((u + 0x7FFF + ((u >> 16) & 1)) >> 16);
}

}  // namespace

void Table::reserve(Stored form, int64_t rows, int64_t hidden) {
    *this = Table();
    switch (form) {
        case Stored::fp32: f32.resize(rows * hidden); break;
        case Stored::bf16: bf16.resize(rows * hidden); break;
        case Stored::int8: int8.resize(rows * hidden); scale.resize(rows); break;
    }
}

void Table::append(const float* values, const uint16_t* half, int64_t rows, int64_t hidden) {
    const int64_t capacity = (f32.size() + bf16.size() + int8.size()) / hidden;
    if (rows < 0 || rows > capacity - filled) throw std::invalid_argument("table: more rows than reserved");
    const int64_t first = filled;
    parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; r++) {
            auto value = [&](int64_t i) { return half ? widen(half[r * hidden + i]) : values[r * hidden + i]; };
            const int64_t at = (first + r) * hidden;
            if (f32.size()) for (int64_t i = 0; i < hidden; i++) f32[at + i] = value(i);
            else if (bf16.size()) for (int64_t i = 0; i < hidden; i++) bf16[at + i] = half ? half[r * hidden + i] : narrow(value(i));
            else {
                float top = 0.0f;
                for (int64_t i = 0; i < hidden; i++) top = std::fmax(top, std::fabs(value(i)));
                const float s = top / 127.0f, inverse = s > 0.0f ? 1.0f / s : 0.0f;
                scale[first + r] = s;
                for (int64_t i = 0; i < hidden; i++) {
                    const float y = std::nearbyint(value(i) * inverse);
                    int8[at + i] = (int8_t)(y > 127.0f ? 127.0f : y < -127.0f ? -127.0f : y);
                }
            }
        }
    });
    filled += rows;
}

FloatRows Table::rows(int64_t first, int64_t hidden) const {
    FloatRows r;
    r.stride = hidden;
    if (f32.size()) r.f32 = f32.data() + first * hidden;
    else if (bf16.size()) r.bf16 = bf16.data() + first * hidden;
    else {
        r.int8 = int8.data() + first * hidden;
        r.scale = scale.data() + first;
    }
    return r;
}

void Table::copy_row(int64_t row, int64_t hidden, float* out) const {
    const int64_t at = row * hidden;
    if (f32.size()) std::memcpy(out, f32.data() + at, (size_t)hidden * sizeof(float));
    else if (bf16.size()) for (int64_t i = 0; i < hidden; i++) out[i] = widen(bf16[at + i]);
    else for (int64_t i = 0; i < hidden; i++) out[i] = scale[row] * (float)int8[at + i];
}

}  // namespace kobitnet
