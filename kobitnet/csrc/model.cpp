#include "model.h"
#include "threads.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace kobitnet {
namespace {

constexpr int64_t kHeadRows = 256;                                   // vocabulary rows a task of the head takes
constexpr int64_t kTargetTokens = 32;                                // logits kept at once when only log p is wanted

// Norm and quantise every token: x [m][n] -> xq.
void norm_quantize(const float* x, const std::vector<float>& w, int64_t m, int64_t n, float eps, Buffer<float>& tmp,
                   Quantized& xq) {
    const Kernels& k = kernels();
    xq.prepare(m, n);
    tmp.at_least(m * n);
    parallel_for(m, std::max<int64_t>(1, m / (4 * thread_count())), [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; t++) {
            k.rms_norm(x + t * n, w.data(), n, eps, tmp.data() + t * n);
            k.quantize(tmp.data() + t * n, n, xq.stride, xq.q.data() + t * xq.stride, &xq.scale[t], &xq.sum[t]);
        }
    });
}

// Rotates each head of x [heads][dim]: pairs (i, i + dim / 2), as transformers' rotate_half.
void rotate(float* x, int64_t heads, int64_t dim, const float* cos, const float* sin) {
    const int64_t half = dim / 2;
    for (int64_t h = 0; h < heads; h++) {
        float* a = x + h * dim;
        for (int64_t i = 0; i < half; i++) {
            const float lo = a[i], hi = a[i + half];
            a[i] = lo * cos[i] - hi * sin[i];
            a[i + half] = hi * cos[i] + lo * sin[i];
        }
    }
}

void add(float* x, const float* y, int64_t m, int64_t n) {
    parallel_for(m, std::max<int64_t>(1, m / (2 * thread_count())), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin * n; i < end * n; i++) x[i] += y[i];
    });
}

void need(bool ok, const std::string& what) {
    if (!ok) throw std::invalid_argument(what);
}

Workspace& workspace() { thread_local Workspace w; return w; }

}  // namespace

FloatRows Table::rows(int64_t first, int64_t hidden) const {
    FloatRows r;
    r.stride = hidden;
    if (f32.size()) r.f32 = f32.data() + first * hidden;
    else r.bf16 = bf16.data() + first * hidden;
    return r;
}

void Cache::reserve(int64_t tokens) {
    if (tokens <= capacity) return;
    int64_t bigger = std::max<int64_t>(capacity * 2, 64);
    while (bigger < tokens) bigger *= 2;
    bigger = std::max(tokens, std::min(bigger, dims.max_len));
    const int64_t dim = dims.head_dim;
    std::vector<Buffer<float>> grown;                                // all of them first: a failure changes nothing
    grown.reserve(keys.size() + values.size());
    for (size_t i = 0; i < keys.size() + values.size(); i++) grown.emplace_back(dims.kv_heads * bigger * dim);
    size_t next = 0;
    for (auto* side : {&keys, &values})
        for (Buffer<float>& old : *side) {
            Buffer<float>& fresh = grown[next++];
            for (int64_t h = 0; h < dims.kv_heads && length > 0; h++)
                std::memcpy(fresh.data() + h * bigger * dim, old.data() + h * capacity * dim,
                            (size_t)(length * dim) * sizeof(float));
            old = std::move(fresh);
        }
    capacity = bigger;
}

Model::Model(const Dims& d) : dims(d), blocks((size_t)d.layers) {
    need(d.vocab > 0 && d.hidden > 0 && d.inter > 0 && d.layers > 0 && d.heads > 0 && d.kv_heads > 0 && d.max_len > 0,
         "model: a size is not positive");
    need(d.heads % d.kv_heads == 0, "model: heads is not a multiple of kv_heads");
    need(d.head_dim > 0 && d.head_dim % 2 == 0, "model: head_dim must be even");
    need(d.heads * d.head_dim == d.hidden, "model: heads * head_dim is not hidden");
    need(d.hidden <= kMaxColumns && d.inter <= kMaxColumns, "model: too wide");
}

void Model::check_complete() const {
    const Dims& d = dims;
    const int64_t kv = d.kv_heads * d.head_dim;
    auto check = [](const Linear& l, int64_t rows, int64_t cols, const char* name) {
        need(l.w.rows == rows && l.w.cols == cols, std::string("model: wrong or missing ") + name);
        need(l.bias.empty() || (int64_t)l.bias.size() == rows, std::string("model: wrong bias of ") + name);
    };
    for (const Block& b : blocks) {
        check(b.q, d.hidden, d.hidden, "q_proj");
        check(b.k, kv, d.hidden, "k_proj");
        check(b.v, kv, d.hidden, "v_proj");
        check(b.o, d.hidden, d.hidden, "o_proj");
        check(b.gate, d.inter, d.hidden, "gate_proj");
        check(b.up, d.inter, d.hidden, "up_proj");
        check(b.down, d.hidden, d.inter, "down_proj");
        need((int64_t)b.input_norm.size() == d.hidden && (int64_t)b.post_norm.size() == d.hidden &&
             (int64_t)b.attn_norm.size() == d.hidden && (int64_t)b.ffn_norm.size() == d.inter, "model: missing norm");
    }
    need((int64_t)final_norm.size() == d.hidden, "model: missing final norm");
    need((int64_t)inv_freq.size() == d.head_dim / 2, "model: missing rope frequencies");
    need(!embedding.empty(), "model: missing embedding");
}

void Model::forward(Cache& cache, const int32_t* ids, int64_t m, Want want, const int32_t* targets, float* out) const {
    const Kernels& kn = kernels();
    const Dims& d = dims;
    const int64_t start = cache.length, H = d.hidden, I = d.inter, dim = d.head_dim, kv = d.kv_heads * dim;
    if (m <= 0) return;
    need(start + m <= d.max_len, "forward: longer than the model's max_position_embeddings");
    for (int64_t t = 0; t < m; t++) need(ids[t] >= 0 && ids[t] < d.vocab, "forward: token id out of range");
    if (want == Want::targets)
        for (int64_t t = 0; t < m; t++) need(targets[t] >= 0 && targets[t] < d.vocab, "forward: target out of range");
    cache.reserve(start + m);
    Workspace& w = workspace();
    w.hidden.at_least(m * H);
    w.q.at_least(m * H);
    w.k.at_least(m * kv);
    w.v.at_least(m * kv);
    w.attn.at_least(m * H);
    w.gate.at_least(m * I);
    w.up.at_least(m * I);
    w.out.at_least(m * H);
    w.cos.at_least(m * dim / 2);
    w.sin.at_least(m * dim / 2);
    for (int64_t t = 0; t < m; t++) {
        const FloatRows e = embedding.rows(ids[t], H);
        float* h = w.hidden.data() + t * H;
        if (e.f32) std::memcpy(h, e.f32, (size_t)H * sizeof(float));
        else for (int64_t i = 0; i < H; i++) {
            const uint32_t u = (uint32_t)e.bf16[i] << 16;
            std::memcpy(h + i, &u, 4);
        }
        for (int64_t i = 0; i < dim / 2; i++) {                      // angle in fp32 as in training, cos and sin in double
            const float angle = (float)(start + t) * inv_freq[(size_t)i];
            w.cos[t * dim / 2 + i] = (float)std::cos((double)angle);
            w.sin[t * dim / 2 + i] = (float)std::sin((double)angle);
        }
    }
    const int64_t per = std::max<int64_t>(1, m / (4 * thread_count()));
    for (int64_t l = 0; l < d.layers; l++) {
        const Block& b = blocks[(size_t)l];
        float* keys = cache.keys[(size_t)l].data();
        float* values = cache.values[(size_t)l].data();
        norm_quantize(w.hidden.data(), b.input_norm, m, H, d.eps, w.normed, w.x);
        const LinearOut qkv[3] = {{&b.q, w.q.data(), H}, {&b.k, w.k.data(), kv}, {&b.v, w.v.data(), kv}};
        linear(qkv, 3, w.x);
        parallel_for(m, per, [&](int64_t begin, int64_t end) {
            for (int64_t t = begin; t < end; t++) {
                const float* cos = w.cos.data() + t * dim / 2;
                const float* sin = w.sin.data() + t * dim / 2;
                rotate(w.q.data() + t * H, d.heads, dim, cos, sin);
                rotate(w.k.data() + t * kv, d.kv_heads, dim, cos, sin);
                for (int64_t h = 0; h < d.kv_heads; h++) {
                    const int64_t at = (h * cache.capacity + start + t) * dim;
                    std::memcpy(keys + at, w.k.data() + t * kv + h * dim, (size_t)dim * sizeof(float));
                    std::memcpy(values + at, w.v.data() + t * kv + h * dim, (size_t)dim * sizeof(float));
                }
            }
        });
        attention(d, w.q.data(), keys, values, cache.capacity, start, m, w.attn.data());
        norm_quantize(w.attn.data(), b.attn_norm, m, H, d.eps, w.normed, w.x);
        const LinearOut o = {&b.o, w.out.data(), H};
        linear(&o, 1, w.x);
        add(w.hidden.data(), w.out.data(), m, H);
        norm_quantize(w.hidden.data(), b.post_norm, m, H, d.eps, w.normed, w.x);
        const LinearOut gu[2] = {{&b.gate, w.gate.data(), I}, {&b.up, w.up.data(), I}};
        linear(gu, 2, w.x);
        parallel_for(m, per, [&](int64_t begin, int64_t end) {
            kn.activate(w.gate.data() + begin * I, w.up.data() + begin * I, (end - begin) * I, d.act);
        });
        norm_quantize(w.gate.data(), b.ffn_norm, m, I, d.eps, w.normed, w.x);
        const LinearOut down = {&b.down, w.out.data(), H};
        linear(&down, 1, w.x);
        add(w.hidden.data(), w.out.data(), m, H);
    }
    cache.length = start + m;
    if (want == Want::nothing) return;

    const Table& table = head.empty() ? embedding : head;
    const int64_t first = want == Want::last ? m - 1 : 0;
    parallel_for(m - first, per, [&](int64_t begin, int64_t end) {
        for (int64_t t = first + begin; t < first + end; t++)
            kn.rms_norm(w.hidden.data() + t * H, final_norm.data(), H, d.eps, w.attn.data() + t * H);
    });
    auto project = [&](int64_t token, int64_t tokens, float* logits) {       // logits [tokens][vocab]
        parallel_for((d.vocab + kHeadRows - 1) / kHeadRows, 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                const int64_t r0 = i * kHeadRows, n = std::min(kHeadRows, d.vocab - r0);
                kn.dot(table.rows(r0, H), n, w.attn.data() + token * H, H, tokens, H, logits + r0, d.vocab);
            }
        });
    };
    if (want != Want::targets) {
        project(first, m - first, out);
        return;
    }
    Buffer<float> logits(std::min(m, kTargetTokens) * d.vocab);
    for (int64_t t = 0; t < m; t += kTargetTokens) {
        const int64_t n = std::min(kTargetTokens, m - t);
        project(t, n, logits.data());
        parallel_for(n, 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                const float* row = logits.data() + i * d.vocab;
                out[t + i] = (float)((double)row[targets[t + i]] - kn.log_sum_exp(row, d.vocab));
            }
        });
    }
}

}  // namespace kobitnet
