#include "model.h"
#include "threads.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace kobitnet {
namespace {

constexpr int64_t kHeadRows = 256;                                   // vocabulary rows a task of the head takes
constexpr int64_t kTargetTokens = 32;                                // logits kept at once when only log p is wanted

Buffer<float>& norm_scratch() { thread_local Buffer<float> b; return b; }

// Norm and quantise every token, each of `parts` equal parts of it by itself: x [m][n] -> xq[parts].
void norm_quantize(const float* x, const std::vector<float>& w, int64_t m, int64_t n, int64_t parts, float eps,
                   std::vector<Quantized>& xq) {
    const Kernels& k = kernels();
    const int64_t width = n / parts;
    for (int64_t p = 0; p < parts; p++) xq[(size_t)p].prepare(m, width);
    parallel_for(m, std::max<int64_t>(1, m / (4 * thread_count())), [&](int64_t begin, int64_t end) {
        Buffer<float>& normed = norm_scratch();
        normed.at_least(width);
        for (int64_t t = begin; t < end; t++)
            for (int64_t p = 0; p < parts; p++) {
                Quantized& to = xq[(size_t)p];
                k.rms_norm(x + t * n + p * width, w.data() + p * width, width, eps, normed.data());
                k.quantize(normed.data(), width, to.stride, to.q.data() + t * to.stride, &to.scale[t], &to.sum[t]);
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

// y = the sum over parts of layer[p] times x[p].
void linear_parts(const std::vector<Linear>& layer, float* y, int64_t ldy, std::vector<Quantized>& x) {
    for (size_t p = 0; p < layer.size(); p++) {
        const LinearOut out = {&layer[p], y, ldy, p > 0};
        linear(&out, 1, x[p]);
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

// Adds the time since the last lap to a part of the profile, if one is wanted.
class Stopwatch {
public:
    explicit Stopwatch(Profile* profile) : profile_(profile) { if (profile_) last_ = Clock::now(); }
    void lap(Part part) {
        if (!profile_) return;
        const Clock::time_point now = Clock::now();
        profile_->seconds[(int)part] += std::chrono::duration<double>(now - last_).count();
        last_ = now;
    }

private:
    using Clock = std::chrono::steady_clock;
    Profile* profile_;
    Clock::time_point last_;
};

Workspace& workspace() { thread_local Workspace w; return w; }

}  // namespace

void Cache::reserve(int64_t tokens) {
    const int64_t dim = dims.head_dim;
    for (size_t l = 0; l < keys.size(); l++) {                       // old and new of one layer at a time are in memory
        if (tokens <= capacity[l]) continue;
        int64_t bigger = std::max<int64_t>(capacity[l] * 2, 64);
        while (bigger < tokens) bigger *= 2;
        bigger = std::max(tokens, std::min(bigger, dims.max_len));
        Buffer<float> k(dims.kv_heads * bigger * dim), v(dims.kv_heads * bigger * dim);   // may throw: nothing changed
        for (int64_t h = 0; h < dims.kv_heads && length > 0; h++) {
            const int64_t to = h * bigger * dim, from = h * capacity[l] * dim;
            const size_t bytes = (size_t)(length * dim) * sizeof(float);
            std::memcpy(k.data() + to, keys[l].data() + from, bytes);
            std::memcpy(v.data() + to, values[l].data() + from, bytes);
        }
        keys[l] = std::move(k);
        values[l] = std::move(v);
        capacity[l] = bigger;
    }
}

Cache Cache::fork(int64_t tokens) const {
    Cache copy(dims);
    copy.reserve(tokens + 64);                                       // room for a continuation
    const int64_t dim = dims.head_dim;
    for (size_t l = 0; l < keys.size() && tokens > 0; l++)
        for (int64_t h = 0; h < dims.kv_heads; h++) {
            const int64_t from = h * capacity[l] * dim, to = h * copy.capacity[l] * dim;
            const size_t bytes = (size_t)(tokens * dim) * sizeof(float);
            std::memcpy(copy.keys[l].data() + to, keys[l].data() + from, bytes);
            std::memcpy(copy.values[l].data() + to, values[l].data() + from, bytes);
        }
    copy.length = tokens;
    return copy;
}

Model::Model(const Dims& d) : dims(d), blocks((size_t)d.layers) {
    need(d.vocab > 0 && d.hidden > 0 && d.inter > 0 && d.layers > 0 && d.heads > 0 && d.kv_heads > 0 && d.max_len > 0,
         "model: a size is not positive");
    need(d.heads % d.kv_heads == 0, "model: heads is not a multiple of kv_heads");
    need(d.head_dim > 0 && d.head_dim % 2 == 0, "model: head_dim must be even");
    need(d.heads * d.head_dim == d.hidden, "model: heads * head_dim is not hidden");
    need(d.hidden <= kMaxColumns && d.inter <= kMaxColumns, "model: too wide");
    need(d.groups > 0 && d.hidden % d.groups == 0 && d.inter % d.groups == 0, "model: groups do not divide the widths");
    for (Block& b : blocks) {
        b.o.resize((size_t)d.groups);
        b.down.resize((size_t)d.groups);
    }
    auto bytes = [](int64_t rows, int64_t cols) {
        return (rows + kStepRows - 1) / kStepRows * ((cols + kTile - 1) / kTile) * kPairBytes;
    };
    const int64_t kv = d.kv_heads * d.head_dim, g = d.groups;
    try {                                                            // address space only: pages come as matrices do
        store.resize(d.layers * (bytes(d.hidden, d.hidden) + 2 * bytes(kv, d.hidden) + 2 * bytes(d.inter, d.hidden) +
                                 g * bytes(d.hidden, d.hidden / g) + g * bytes(d.hidden, d.inter / g)));
    } catch (const std::bad_alloc&) {                                // a size that nothing backs: set() does without
    }
}

void Model::set(Linear& layer, Ternary&& w, std::vector<float>&& scale, std::vector<float>&& bias) {
    if (w.bytes() <= store.size() - stored) {                        // else it stays where it is: set twice, or misshapen
        w = w.copy_at(store.data() + stored);
        stored += w.bytes();
    }
    layer.w = std::move(w);
    layer.scale = std::move(scale);
    layer.bias = std::move(bias);
}

int64_t Model::bytes() const {
    int64_t n = 0;
    for (const Block& b : blocks) {
        for (const Linear* l : {&b.q, &b.k, &b.v, &b.gate, &b.up}) n += l->w.bytes();
        for (const std::vector<Linear>* parts : {&b.o, &b.down}) for (const Linear& l : *parts) n += l.w.bytes();
    }
    return n;
}

void Model::check_complete() const {
    const Dims& d = dims;
    const int64_t kv = d.kv_heads * d.head_dim;
    auto check = [](const Linear& l, int64_t rows, int64_t cols, const char* name) {
        need(l.w.rows == rows && l.w.cols == cols, std::string("model: wrong or missing ") + name);
        need(l.scale.size() == 1 || (int64_t)l.scale.size() == rows, std::string("model: wrong scale of ") + name);
        need(l.bias.empty() || (int64_t)l.bias.size() == rows, std::string("model: wrong bias of ") + name);
    };
    for (const Block& b : blocks) {
        check(b.q, d.hidden, d.hidden, "q_proj");
        check(b.k, kv, d.hidden, "k_proj");
        check(b.v, kv, d.hidden, "v_proj");
        for (const Linear& part : b.o) check(part, d.hidden, d.hidden / d.groups, "o_proj");
        check(b.gate, d.inter, d.hidden, "gate_proj");
        check(b.up, d.inter, d.hidden, "up_proj");
        for (const Linear& part : b.down) check(part, d.hidden, d.inter / d.groups, "down_proj");
        need((int64_t)b.input_norm.size() == d.hidden && (int64_t)b.post_norm.size() == d.hidden &&
             (int64_t)b.attn_norm.size() == d.hidden && (int64_t)b.ffn_norm.size() == d.inter, "model: missing norm");
    }
    need((int64_t)final_norm.size() == d.hidden, "model: missing final norm");
    need((int64_t)inv_freq.size() == d.head_dim / 2, "model: missing rope frequencies");
    need(!embedding.empty() && embedding.filled == d.vocab, "model: missing embedding");
    need(head.empty() || head.filled == d.vocab, "model: incomplete head");
}

void Model::forward(const Span* spans, int64_t n_spans, const int32_t* ids, Want want, const int32_t* targets,
                    float* out, Profile* profile) const {
    Stopwatch watch(profile);
    const Kernels& kn = kernels();
    const Dims& d = dims;
    const int64_t H = d.hidden, I = d.inter, dim = d.head_dim, kv = d.kv_heads * dim;
    int64_t m = 0;
    for (int64_t s = 0; s < n_spans; s++) {
        need(spans[s].m > 0, "forward: no tokens");
        need(spans[s].cache->length + spans[s].m <= d.max_len, "forward: longer than the model's max_position_embeddings");
        for (int64_t o = 0; o < s; o++) need(spans[o].cache != spans[s].cache, "forward: the same cache twice");
        m += spans[s].m;
    }
    if (m == 0) return;
    for (int64_t t = 0; t < m; t++) need(ids[t] >= 0 && ids[t] < d.vocab, "forward: token id out of range");
    if (want == Want::targets)
        for (int64_t t = 0; t < m; t++) need(targets[t] >= 0 && targets[t] < d.vocab, "forward: target out of range");
    for (int64_t s = 0; s < n_spans; s++) spans[s].cache->reserve(spans[s].cache->length + spans[s].m);
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
    if ((int64_t)w.x.size() < d.groups) w.x.resize((size_t)d.groups);
    w.rows.resize((size_t)m);
    w.sequences.resize((size_t)n_spans);
    for (int64_t s = 0, t = 0; s < n_spans; s++) {
        w.sequences[(size_t)s] = {nullptr, nullptr, 0, spans[s].cache->length, spans[s].m, t};
        for (int64_t i = 0; i < spans[s].m; i++, t++) w.rows[(size_t)t] = {s, spans[s].cache->length + i};
    }
    for (int64_t t = 0; t < m; t++) {
        embedding.copy_row(ids[t], H, w.hidden.data() + t * H);
        for (int64_t i = 0; i < dim / 2; i++) {                      // angle in fp32 as in training, cos and sin in double
            const float angle = (float)w.rows[(size_t)t].position * inv_freq[(size_t)i];
            w.cos[t * dim / 2 + i] = (float)std::cos((double)angle);
            w.sin[t * dim / 2 + i] = (float)std::sin((double)angle);
        }
    }
    watch.lap(Part::rest);
    const int64_t per = std::max<int64_t>(1, m / (4 * thread_count()));
    for (int64_t l = 0; l < d.layers; l++) {
        const Block& b = blocks[(size_t)l];
        norm_quantize(w.hidden.data(), b.input_norm, m, H, 1, d.eps, w.x);
        watch.lap(Part::norm);
        const LinearOut qkv[3] = {{&b.q, w.q.data(), H}, {&b.k, w.k.data(), kv}, {&b.v, w.v.data(), kv}};
        linear(qkv, 3, w.x[0]);
        watch.lap(Part::linear);
        parallel_for(m, per, [&](int64_t begin, int64_t end) {
            for (int64_t t = begin; t < end; t++) {
                const float* cos = w.cos.data() + t * dim / 2;
                const float* sin = w.sin.data() + t * dim / 2;
                rotate(w.q.data() + t * H, d.heads, dim, cos, sin);
                rotate(w.k.data() + t * kv, d.kv_heads, dim, cos, sin);
                Cache& cache = *spans[w.rows[(size_t)t].span].cache;
                for (int64_t h = 0; h < d.kv_heads; h++) {
                    const int64_t at = (h * cache.capacity[(size_t)l] + w.rows[(size_t)t].position) * dim;
                    std::memcpy(cache.keys[(size_t)l].data() + at, w.k.data() + t * kv + h * dim, (size_t)dim * sizeof(float));
                    std::memcpy(cache.values[(size_t)l].data() + at, w.v.data() + t * kv + h * dim, (size_t)dim * sizeof(float));
                }
            }
        });
        for (int64_t s = 0; s < n_spans; s++) {
            w.sequences[(size_t)s].capacity = spans[s].cache->capacity[(size_t)l];
            w.sequences[(size_t)s].keys = spans[s].cache->keys[(size_t)l].data();
            w.sequences[(size_t)s].values = spans[s].cache->values[(size_t)l].data();
        }
        watch.lap(Part::rest);
        attention(d, w.q.data(), w.sequences, w.attn.data());
        watch.lap(Part::attention);
        norm_quantize(w.attn.data(), b.attn_norm, m, H, d.groups, d.eps, w.x);
        watch.lap(Part::norm);
        linear_parts(b.o, w.out.data(), H, w.x);
        watch.lap(Part::linear);
        add(w.hidden.data(), w.out.data(), m, H);
        watch.lap(Part::rest);
        norm_quantize(w.hidden.data(), b.post_norm, m, H, 1, d.eps, w.x);
        watch.lap(Part::norm);
        const LinearOut gu[2] = {{&b.gate, w.gate.data(), I}, {&b.up, w.up.data(), I}};
        linear(gu, 2, w.x[0]);
        watch.lap(Part::linear);
        parallel_for(m, per, [&](int64_t begin, int64_t end) {
            kn.activate(w.gate.data() + begin * I, w.up.data() + begin * I, (end - begin) * I, d.act);
        });
        watch.lap(Part::rest);
        norm_quantize(w.gate.data(), b.ffn_norm, m, I, d.groups, d.eps, w.x);
        watch.lap(Part::norm);
        linear_parts(b.down, w.out.data(), H, w.x);
        watch.lap(Part::linear);
        add(w.hidden.data(), w.out.data(), m, H);
        watch.lap(Part::rest);
    }
    for (int64_t s = 0; s < n_spans; s++) spans[s].cache->length += spans[s].m;
    if (want == Want::nothing) return;

    const Table& table = head.empty() ? embedding : head;
    int64_t rows = m;                                                // rows whose logits are wanted, normed into attn
    if (want == Want::last) {
        rows = n_spans;
        for (int64_t s = 0; s < n_spans; s++) {
            const int64_t last = w.sequences[(size_t)s].first + spans[s].m - 1;
            if (last != s) std::memcpy(w.hidden.data() + s * H, w.hidden.data() + last * H, (size_t)H * sizeof(float));
        }
    }
    parallel_for(rows, per, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; t++)
            kn.rms_norm(w.hidden.data() + t * H, final_norm.data(), H, d.eps, w.attn.data() + t * H);
    });
    auto project = [&](int64_t token, int64_t tokens, float* logits) {       // logits [tokens][vocab]
        parallel_for((d.vocab + kHeadRows - 1) / kHeadRows, 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                const int64_t r0 = i * kHeadRows, n = std::min(kHeadRows, d.vocab - r0);
                kn.dot_table(table.rows(r0), n, w.attn.data() + token * H, H, tokens, H, logits + r0, d.vocab);
            }
        });
    };
    if (want != Want::targets) {
        project(0, rows, out);
        watch.lap(Part::head);
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
    watch.lap(Part::head);
}

}  // namespace kobitnet
