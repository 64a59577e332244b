#include "linear.h"
#include "threads.h"
#include <cstring>

namespace kobitnet {
namespace {

constexpr int64_t kBlockTiles = 40;                                  // 640 columns: 20 KB of unpacked codes
constexpr int64_t kPassTokens = 264;                                 // tokens a pass takes: a multiple of every max_cols
constexpr int64_t kMaxSteps = 4;                                     // steps a task takes: their rows of y lie side by side

Buffer<uint8_t>& code_scratch() { thread_local Buffer<uint8_t> b; return b; }
Buffer<int32_t>& acc_scratch() { thread_local Buffer<int32_t> b; return b; }

// Columns of group g of the packed activations: as many as the kernel takes, the last group rounded up to col_step.
struct Groups {
    int64_t m, max_cols, col_step, count;
    Groups(const Kernels& k, int64_t m_) : m(m_), max_cols(k.max_cols), col_step(k.col_step) {
        count = (m + max_cols - 1) / max_cols;
    }
    int64_t cols(int64_t g) const {
        const int64_t left = m - g * max_cols;
        return left >= max_cols ? max_cols : (left + col_step - 1) / col_step * col_step;
    }
    int64_t total() const { return (count - 1) * max_cols + cols(count - 1); }
};

// q [m][stride] -> [group][stride / 4][cols][4]
void pack_activations(const Kernels& k, Quantized& x) {
    const Groups groups(k, x.m);
    x.packed.at_least(groups.total() * x.stride);
    parallel_for(groups.count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t g = begin; g < end; g++) {
            const int64_t cols = groups.cols(g);
            int8_t* out = x.packed.data() + g * groups.max_cols * x.stride;
            const int64_t tokens = x.m - g * groups.max_cols < cols ? x.m - g * groups.max_cols : cols;
            const int8_t* in = x.q.data() + g * groups.max_cols * x.stride;
            for (int64_t s = 0; s < x.stride / 4; s++, out += 4 * cols) {
                for (int64_t c = 0; c < tokens; c++) std::memcpy(out + 4 * c, in + c * x.stride + 4 * s, 4);
                if (tokens < cols) std::memset(out + 4 * tokens, 0, (size_t)(4 * (cols - tokens)));
            }
        }
    });
}

// Steps first .. first + count - 1 (at most kMaxSteps) for all tokens; emit(step, token, raw[32]). The codes of a block of
// one step stay in the first-level cache while the activations of a pass go by; these and the sums stay in the second.
template <typename Emit>
void steps_gemm(const Kernels& k, const Ternary& w, const Quantized& x, int64_t first, int64_t count, const Emit& emit) {
    const Groups groups(k, x.m);
    const int64_t pass = kPassTokens / groups.max_cols, acc_size = pass * groups.max_cols * kStepRows;
    Buffer<uint8_t>& codes = code_scratch();
    Buffer<int32_t>& acc = acc_scratch();
    codes.at_least(kBlockTiles * 4 * 128);
    acc.at_least(count * acc_size);
    for (int64_t g0 = 0; g0 < groups.count; g0 += pass) {
        const int64_t g1 = g0 + pass < groups.count ? g0 + pass : groups.count;
        std::memset(acc.data(), 0, (size_t)(count * acc_size) * sizeof(int32_t));
        for (int64_t t = 0; t < w.col_tiles; t += kBlockTiles) {
            const int64_t tiles = t + kBlockTiles < w.col_tiles ? kBlockTiles : w.col_tiles - t;
            for (int64_t s = 0; s < count; s++) {
                k.unpack(w.step(first + s) + t * kPairBytes, tiles, codes.data());
                for (int64_t g = g0; g < g1; g++) {
                    const int64_t cols = groups.cols(g);
                    const int8_t* xp = x.packed.data() + g * groups.max_cols * x.stride + t * kTile * cols;
                    k.gemm(codes.data(), tiles * 4, xp, (int)cols,
                           acc.data() + s * acc_size + (g - g0) * groups.max_cols * kStepRows);
                }
            }
        }
        const int64_t begin = g0 * groups.max_cols, end = g1 * groups.max_cols < x.m ? g1 * groups.max_cols : x.m;
        for (int64_t m = begin; m < end; m++)
            for (int64_t s = 0; s < count; s++)
                emit(first + s, m, acc.data() + s * acc_size + (m - begin) * kStepRows);
    }
}

template <typename Emit>
void steps_any(const Kernels& k, const Ternary& w, const Quantized& x, int64_t first, int64_t count, const Emit& emit) {
    if (x.m > 1) {
        for (int64_t s = 0; s < count; s += kMaxSteps)
            steps_gemm(k, w, x, first + s, count - s < kMaxSteps ? count - s : kMaxSteps, emit);
        return;
    }
    for (int64_t s = first; s < first + count; s++) {
        alignas(64) int32_t raw[kStepRows];
        k.gemv(w.step(s), w.col_tiles, x.q.data(), raw);
        emit(s, 0, raw);
    }
}

// Steps a thread takes at once: about 128 KB of weights for one token, a full set when there are many tokens; but few
// enough that every thread gets some.
int64_t grain(const Ternary& w, int64_t total, int64_t m) {
    const int64_t share = (total + 2 * thread_count() - 1) / (2 * thread_count());
    const int64_t g = m > 1 ? kMaxSteps : (int64_t(1) << 17) / (w.col_tiles * kPairBytes) + 1;
    return g < share ? g : share;
}

}  // namespace

void Quantized::prepare(int64_t tokens, int64_t columns) {
    m = tokens;
    cols = columns;
    stride = (columns + kTile - 1) / kTile * kTile;
    q.at_least(m * stride);
    scale.at_least(m);
    sum.at_least(m);
}

void linear(const LinearOut* outs, int n_outs, Quantized& x) {
    const Kernels& k = kernels();
    if (x.m > 1) pack_activations(k, x);
    int64_t total = 0;
    for (int i = 0; i < n_outs; i++) total += outs[i].layer->w.steps;
    parallel_for(total, grain(outs[0].layer->w, total, x.m), [&](int64_t begin, int64_t end) {
        const LinearOut* out = outs;
        int64_t before = 0;                                          // steps of the layers before `out`
        while (begin < end) {
            const Linear& layer = *out->layer;
            const int64_t last = end < before + layer.w.steps ? end : before + layer.w.steps;
            if (begin < last)
                steps_any(k, layer.w, x, begin - before, last - begin, [&](int64_t step, int64_t m, const int32_t* raw) {
                    const int64_t row0 = step * kStepRows;
                    const int64_t rows = layer.w.rows - row0 < kStepRows ? layer.w.rows - row0 : kStepRows;
                    const int32_t sum = x.sum[m];
                    float* y = out->y + m * out->ldy + row0;
                    float v[kStepRows];
                    if (layer.scale.size() == 1) {
                        const float s = layer.scale[0] / x.scale[m];
                        for (int64_t r = 0; r < kStepRows; r++) v[r] = (float)(raw[r] - sum) * s;
                    } else {
                        const float* s = layer.scale.data() + row0;
                        for (int64_t r = 0; r < rows; r++) v[r] = (float)(raw[r] - sum) * (s[r] / x.scale[m]);
                    }
                    if (!layer.bias.empty()) for (int64_t r = 0; r < rows; r++) v[r] += layer.bias[(size_t)(row0 + r)];
                    if (out->add) for (int64_t r = 0; r < rows; r++) y[r] += v[r];
                    else std::memcpy(y, v, (size_t)rows * sizeof(float));
                });
            begin = last > begin ? last : begin;
            before += layer.w.steps;
            out++;
        }
    });
}

void linear_int(const Ternary& w, Quantized& x, int32_t* y) {
    const Kernels& k = kernels();
    if (x.m > 1) pack_activations(k, x);
    parallel_for(w.steps, grain(w, w.steps, x.m), [&](int64_t begin, int64_t end) {
        steps_any(k, w, x, begin, end - begin, [&](int64_t step, int64_t m, const int32_t* raw) {
            const int64_t row0 = step * kStepRows;
            const int64_t rows = w.rows - row0 < kStepRows ? w.rows - row0 : kStepRows;
            for (int64_t r = 0; r < rows; r++) y[m * w.rows + row0 + r] = raw[r] - x.sum[m];
        });
    });
}

}  // namespace kobitnet
