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

// Calls use(elements of the table, elements of the row, count) for each piece of a row that lies together.
template <typename E, typename Use>
void pieces(E* table, int64_t stride, int64_t row, int64_t hidden, const Use& use) {
    constexpr int64_t line = kLine / (int64_t)sizeof(E);
    E* at = table + (row - row % kBandRows) * stride + row % kBandRows * line;
    for (int64_t i = 0; i < hidden; i += line, at += kBandRows * line) use(at, i, line < hidden - i ? line : hidden - i);
}

}  // namespace

void Table::reserve(Stored form, int64_t rows, int64_t hidden) {
    *this = Table();
    const int64_t size = form == Stored::fp32 ? 4 : form == Stored::bf16 ? 2 : 1, line = kLine / size;
    capacity = rows;
    stride = (hidden + line - 1) / line * line;
    const int64_t all = (rows + kBandRows - 1) / kBandRows * kBandRows * stride;
    switch (form) {
        case Stored::fp32: f32.resize(all); break;
        case Stored::bf16: bf16.resize(all); break;
        case Stored::int8: int8.resize(all); scale.resize(rows); break;
    }
}

void Table::append(const float* values, const uint16_t* half, int64_t rows, int64_t hidden) {
    if (rows < 0 || rows > capacity - filled) throw std::invalid_argument("table: more rows than reserved");
    parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; r++) {
            const int64_t row = filled + r;
            auto value = [&](int64_t i) { return half ? widen(half[r * hidden + i]) : values[r * hidden + i]; };
            if (f32.size())
                pieces(f32.data(), stride, row, hidden, [&](float* to, int64_t first, int64_t n) {
                    for (int64_t i = 0; i < n; i++) to[i] = value(first + i);
                });
            else if (bf16.size())
                pieces(bf16.data(), stride, row, hidden, [&](uint16_t* to, int64_t first, int64_t n) {
                    for (int64_t i = 0; i < n; i++) to[i] = half ? half[r * hidden + first + i] : narrow(value(first + i));
                });
            else {
                float top = 0.0f;
                for (int64_t i = 0; i < hidden; i++) top = std::fmax(top, std::fabs(value(i)));
                const float s = top / 127.0f, inverse = s > 0.0f ? 1.0f / s : 0.0f;
                scale[row] = s;
                pieces(int8.data(), stride, row, hidden, [&](int8_t* to, int64_t first, int64_t n) {
                    for (int64_t i = 0; i < n; i++) {
                        const float y = std::nearbyint(value(first + i) * inverse);
                        to[i] = (int8_t)(y > 127.0f ? 127.0f : y < -127.0f ? -127.0f : y);
                    }
                });
            }
        }
    });
    filled += rows;
}

BandedRows Table::rows(int64_t first) const {
    BandedRows r;
    r.stride = stride;
    if (f32.size()) r.f32 = f32.data() + first * stride;
    else if (bf16.size()) r.bf16 = bf16.data() + first * stride;
    else {
        r.int8 = int8.data() + first * stride;
        r.scale = scale.data() + first;
    }
    return r;
}

void Table::copy_row(int64_t row, int64_t hidden, float* out) const {
    if (f32.size())
        pieces(f32.data(), stride, row, hidden, [&](const float* from, int64_t first, int64_t n) {
            std::memcpy(out + first, from, (size_t)n * sizeof(float));
        });
    else if (bf16.size())
        pieces(bf16.data(), stride, row, hidden, [&](const uint16_t* from, int64_t first, int64_t n) {
            for (int64_t i = 0; i < n; i++) out[first + i] = widen(from[i]);
        });
    else
        pieces(int8.data(), stride, row, hidden, [&](const int8_t* from, int64_t first, int64_t n) {
            for (int64_t i = 0; i < n; i++) out[first + i] = scale[row] * (float)from[i];
        });
}

}  // namespace kobitnet
