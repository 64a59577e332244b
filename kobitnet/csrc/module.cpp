// Python boundary: every shape, size and id is checked here or in the constructors; long calls release the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <atomic>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include "kernels.h"
#include "model.h"
#include "sums.h"
#include "threads.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace kobitnet;

namespace {

template <typename T, int N>
using Array = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using Vector = Array<float, 1>;

void check(bool ok, const std::string& what) {
    if (!ok) throw std::invalid_argument(what);
}

template <typename T>
nb::object make_array(std::vector<size_t> shape, T** data) {         // a numpy array that owns fresh memory
    size_t n = 1;
    for (size_t s : shape) n *= s;
    T* p = new T[n ? n : 1];
    nb::capsule owner(p, [](void* q) noexcept { delete[] static_cast<T*>(q); });
    *data = p;
    return nb::cast(nb::ndarray<nb::numpy, T>(p, shape.size(), shape.data(), owner));
}

// x [m, cols] int8 as the kernels want it.
void fill(Quantized& q, const int8_t* x, int64_t m, int64_t cols) {
    q.prepare(m, cols);
    for (int64_t t = 0; t < m; t++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < q.stride; i++) {
            const int8_t v = i < cols ? x[t * cols + i] : (int8_t)0;
            q.q[t * q.stride + i] = v;
            sum += v;
        }
        q.sum[t] = sum;
        q.scale[t] = 1.0f;
    }
}

struct Weights {                                                     // shared by Python and a model
    std::shared_ptr<Ternary> t;
};

std::vector<float> floats(const Vector& v, int64_t n, const char* what) {
    check((int64_t)v.shape(0) == n, std::string("wrong length: ") + what);
    return std::vector<float>(v.data(), v.data() + n);
}

Table& table(Model& m, const std::string& which) {
    check(which == "embedding" || which == "head", "table is embedding or head");
    return which == "head" ? m.head : m.embedding;
}

void append(Model& m, const std::string& which, const float* f, const uint16_t* h, size_t rows, size_t cols) {
    check((int64_t)cols == m.dims.hidden, "table: rows have another width");
    nb::gil_scoped_release release;
    table(m, which).append(f, h, (int64_t)rows, (int64_t)cols);
}

std::vector<Span> make_spans(const Model& m, const std::vector<Cache*>& caches, const std::vector<int64_t>& counts,
                             int64_t n) {
    check(!caches.empty() && caches.size() == counts.size(), "forward: as many counts as caches");
    std::vector<Span> spans;
    for (size_t i = 0; i < caches.size(); i++) {
        check(caches[i] && caches[i]->keys.size() == m.blocks.size() && caches[i]->dims.head_dim == m.dims.head_dim &&
              caches[i]->dims.kv_heads == m.dims.kv_heads, "forward: the cache is of another model");
        check(counts[i] > 0 && counts[i] <= n, "forward: no tokens");
        spans.push_back({caches[i], counts[i]});
        n -= counts[i];
    }
    check(n == 0, "forward: counts do not add up to the ids");
    return spans;
}

Linear* find(Model& m, int layer, const std::string& name, int part) {
    check(layer >= 0 && layer < m.dims.layers, "layer out of range");
    check(part >= 0 && part < (name == "o_proj" || name == "down_proj" ? m.dims.groups : 1), "part out of range");
    Block& b = m.blocks[(size_t)layer];
    if (name == "q_proj") return &b.q;
    if (name == "k_proj") return &b.k;
    if (name == "v_proj") return &b.v;
    if (name == "o_proj") return &b.o[(size_t)part];
    if (name == "gate_proj") return &b.gate;
    if (name == "up_proj") return &b.up;
    if (name == "down_proj") return &b.down[(size_t)part];
    throw std::invalid_argument("unknown linear layer " + name);
}

}  // namespace

NB_MODULE(_native, m) {
    m.attr("__doc__") = "Native core of kobitnet: ternary kernels and the CPU engine.";
    m.attr("compiler") = KOBITNET_COMPILER;
    m.def("isas", [] {
        std::vector<std::string> names;
        for (int i = 0; i < isa_count(); i++) names.emplace_back(isa_name(i));
        return names;
    }, "Instruction sets this CPU runs, best first.");
    m.def("isa", [] { return std::string(kernels().name); });
    m.def("choose_isa", [](const std::string& name) { check(choose_isa(name.c_str()), "unknown instruction set " + name); });
    m.def("threads", &thread_count);
    m.def("set_threads", &set_thread_count);

    nb::class_<Weights>(m, "Ternary", "A packed ternary matrix [rows, cols].")
        .def_prop_ro("rows", [](const Weights& w) { return w.t->rows; })
        .def_prop_ro("cols", [](const Weights& w) { return w.t->cols; })
        .def_prop_ro("nbytes", [](const Weights& w) { return w.t->bytes(); })
        .def_static("from_values", [](Array<int8_t, 2> w) {
            nb::gil_scoped_release release;
            return Weights{std::make_shared<Ternary>(from_values(w.data(), w.shape(0), w.shape(1)))};
        }, "values"_a)
        .def_static("from_f32", [](Array<float, 2> w, float scale) {
            nb::gil_scoped_release release;
            return Weights{std::make_shared<Ternary>(from_latents(w.data(), w.shape(0), w.shape(1), scale))};
        }, "latents"_a, "scale"_a, "round_half_even(latents * scale) clamped to [-1, 1]")
        .def_static("from_bf16", [](Array<uint16_t, 2> w, float scale) {
            nb::gil_scoped_release release;
            return Weights{std::make_shared<Ternary>(from_latents(w.data(), w.shape(0), w.shape(1), scale))};
        }, "latents"_a, "scale"_a)
        .def_static("from_hf", [](Array<uint8_t, 2> w) {
            nb::gil_scoped_release release;
            return Weights{std::make_shared<Ternary>(from_hf(w.data(), (int64_t)w.shape(0) * 4, w.shape(1)))};
        }, "packed"_a, "transformers' packed uint8 [rows / 4, cols]")
        .def_static("from_ggml", [](Array<uint8_t, 1> raw, int64_t rows, int64_t cols, int kind) {
            check(kind >= (int)Ggml::tq1_0 && kind <= (int)Ggml::i2_s, "ggml matrix: unknown type");
            check(ggml_bytes((Ggml)kind, rows, cols) == (int64_t)raw.shape(0), "ggml matrix: wrong number of bytes");
            nb::gil_scoped_release release;
            return Weights{std::make_shared<Ternary>(from_ggml(raw.data(), rows, cols, (Ggml)kind))};
        }, "raw"_a, "rows"_a, "cols"_a, "kind"_a, "ggml's TQ1_0 (34), TQ2_0 (35) or I2_S (36)")
        .def("values", [](const Weights& w) {
            int8_t* data;
            nb::object out = make_array<int8_t>({(size_t)w.t->rows, (size_t)w.t->cols}, &data);
            to_values(*w.t, data);
            return out;
        }, "int8 [rows, cols]")
        .def("matmul", [](const Weights& w, Array<int8_t, 2> x) {
            check((int64_t)x.shape(1) == w.t->cols, "matmul: x has another number of columns");
            int32_t* data;
            nb::object out = make_array<int32_t>({x.shape(0), (size_t)w.t->rows}, &data);
            nb::gil_scoped_release release;
            if (x.shape(0)) {
                Quantized q;
                fill(q, x.data(), x.shape(0), x.shape(1));
                linear_int(*w.t, q, data);
            }
            return out;
        }, "x"_a, "int8 [m, cols] -> int32 [m, rows], exact")
        .def("time_matmul", [](const Weights& w, Array<int8_t, 2> x, int64_t copies, int64_t repeat) {
            check((int64_t)x.shape(1) == w.t->cols && x.shape(0) > 0 && copies > 0 && repeat > 0, "time_matmul: bad arguments");
            Quantized q;
            fill(q, x.data(), x.shape(0), x.shape(1));
            Buffer<int32_t> y((int64_t)x.shape(0) * w.t->rows);
            Buffer<uint8_t> store(copies * w.t->bytes());
            std::vector<double> seconds;
            nb::gil_scoped_release release;
            std::vector<Ternary> all((size_t)copies);
            for (int64_t i = 0; i < copies; i++) all[(size_t)i] = w.t->copy_at(store.data() + i * w.t->bytes());
            for (int64_t turn = 0; turn < repeat; turn++) {
                const auto start = std::chrono::steady_clock::now();
                for (const Ternary& t : all) linear_int(t, q, y.data());
                seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
            }
            return seconds;
        }, "x"_a, "copies"_a, "repeat"_a,
           "kernel time alone: seconds of each of `repeat` walks over copies of the matrix that lie in one store, as in a model");

    m.def("sum_abs_f32", [](nb::ndarray<const float, nb::c_contig, nb::device::cpu> w) {
        nb::gil_scoped_release release;
        return sum_abs(w.data(), (int64_t)w.size());
    });
    m.def("sum_abs_bf16", [](nb::ndarray<const uint16_t, nb::c_contig, nb::device::cpu> w) {
        nb::gil_scoped_release release;
        return sum_abs(w.data(), (int64_t)w.size());
    });
    m.def("quantize", [](Array<float, 2> x) {
        int8_t* q;
        float* s;
        const int64_t rows = x.shape(0), cols = x.shape(1);
        nb::object qo = make_array<int8_t>({x.shape(0), x.shape(1)}, &q), so = make_array<float>({x.shape(0)}, &s);
        int32_t sum;
        for (int64_t t = 0; t < rows; t++) kernels().quantize(x.data() + t * cols, cols, cols, q + t * cols, s + t, &sum);
        return nb::make_tuple(qo, so);
    }, "x"_a, "per-token int8: (codes [m, n], scale [m]) with codes = round(x * scale)");
    m.def("rms_norm", [](Array<float, 2> x, Vector weight, float eps) {
        check(weight.shape(0) == x.shape(1), "rms_norm: weight has another width");
        float* y;
        const int64_t rows = x.shape(0), cols = x.shape(1);
        nb::object out = make_array<float>({x.shape(0), x.shape(1)}, &y);
        for (int64_t t = 0; t < rows; t++) kernels().rms_norm(x.data() + t * cols, weight.data(), cols, eps, y + t * cols);
        return out;
    }, "x"_a, "weight"_a, "eps"_a, "weight * x / sqrt(mean(x^2) + eps), the bits of torch");
    m.def("read_bandwidth", [](Array<uint8_t, 1> memory) {           // touches every cache line once; returns a checksum
        const int64_t n = (int64_t)memory.shape(0), piece = 1 << 18;
        std::atomic<uint64_t> total{0};
        nb::gil_scoped_release release;
        parallel_for((n + piece - 1) / piece, 1, [&](int64_t begin, int64_t end) {
            const int64_t first = begin * piece, last = end * piece < n ? end * piece : n;
            total += kernels().read(memory.data() + first, last - first);
        });
        return total.load();
    });

    nb::class_<Cache>(m, "Cache", "Keys and values of one sequence.")
        .def_prop_ro("length", [](const Cache& c) { return c.length; })
        .def_prop_ro("nbytes", [](const Cache& c) {
            int64_t n = 0;
            for (int64_t tokens : c.capacity) n += tokens * c.dims.kv_heads * c.dims.head_dim * 8;
            return n;
        })
        .def("truncate", [](Cache& c, int64_t length) {
            check(length >= 0 && length <= c.length, "truncate: length out of range");
            c.length = length;
        }, "length"_a, "keep the first tokens")
        .def("fork", [](const Cache& c, int64_t length) {
            check(length >= 0 && length <= c.length, "fork: length out of range");
            return c.fork(length);
        }, "length"_a, "a cache of its own with the first tokens");

    nb::class_<Model>(m, "Model")
        .def("__init__", [](Model* self, int64_t vocab, int64_t hidden, int64_t inter, int64_t layers, int64_t heads,
                            int64_t kv_heads, int64_t head_dim, int64_t max_len, int64_t groups, float eps, const std::string& act,
                            Vector inv_freq) {
            Dims d;
            d.vocab = vocab; d.hidden = hidden; d.inter = inter; d.layers = layers; d.heads = heads;
            d.kv_heads = kv_heads; d.head_dim = head_dim; d.max_len = max_len; d.groups = groups; d.eps = eps;
            check(layers > 0 && layers <= 4096, "model: layers out of range");
            check(act == "relu2" || act == "silu", "model: unknown activation " + act);
            d.act = act == "relu2" ? Activation::relu2 : Activation::silu;
            new (self) Model(d);
            self->inv_freq = floats(inv_freq, head_dim / 2, "inv_freq");
        }, nb::kw_only(), "vocab"_a, "hidden"_a, "inter"_a, "layers"_a, "heads"_a, "kv_heads"_a, "head_dim"_a,
           "max_len"_a, "groups"_a = 1, "eps"_a, "act"_a, "inv_freq"_a)
        .def("new_table", [](Model& self, const std::string& which, const std::string& form) {
            check(form == "fp32" || form == "bf16" || form == "int8", "table: form is fp32, bf16 or int8");
            const Stored stored = form == "fp32" ? Stored::fp32 : form == "bf16" ? Stored::bf16 : Stored::int8;
            table(self, which).reserve(stored, self.dims.vocab, self.dims.hidden);
        }, "which"_a, "form"_a, "an empty embedding or head, to be filled by add_rows")
        .def("add_rows", [](Model& self, const std::string& which, Array<float, 2> a) {
            append(self, which, a.data(), nullptr, a.shape(0), a.shape(1));
        }, "which"_a, "values"_a, "the next rows, fp32 or bf16 bits (uint16)")
        .def("add_rows", [](Model& self, const std::string& which, Array<uint16_t, 2> a) {
            append(self, which, nullptr, a.data(), a.shape(0), a.shape(1));
        }, "which"_a, "bits"_a)
        .def("head_bytes", [](const Model& self) { return (self.head.empty() ? self.embedding : self.head).bytes(); },
             "bytes that the output head reads for one token")
        .def("set_final_norm", [](Model& self, Vector v) { self.final_norm = floats(v, self.dims.hidden, "norm"); })
        .def("set_norm", [](Model& self, int layer, const std::string& name, Vector v) {
            check(layer >= 0 && layer < self.dims.layers, "layer out of range");
            Block& b = self.blocks[(size_t)layer];
            if (name == "input_layernorm") b.input_norm = floats(v, self.dims.hidden, "input_layernorm");
            else if (name == "post_attention_layernorm") b.post_norm = floats(v, self.dims.hidden, "post_attention_layernorm");
            else if (name == "attn_sub_norm") b.attn_norm = floats(v, self.dims.hidden, "attn_sub_norm");
            else if (name == "ffn_sub_norm") b.ffn_norm = floats(v, self.dims.inter, "ffn_sub_norm");
            else throw std::invalid_argument("unknown norm " + name);
        })
        .def("set_linear", [](Model& self, int layer, const std::string& name, Weights& w, Vector scale, nb::object bias,
                              int part) {
            Linear* l = find(self, layer, name, part);
            check(w.t.use_count() == 1, "set_linear takes the only reference of the matrix");
            std::vector<float> b;
            if (!bias.is_none()) b = floats(nb::cast<Vector>(bias), w.t->rows, "bias");
            check(scale.shape(0) == 1 || (int64_t)scale.shape(0) == w.t->rows, "set_linear: one scale, or one a row");
            self.set(*l, std::move(*w.t), floats(scale, (int64_t)scale.shape(0), "scale"), std::move(b));
            w.t = std::make_shared<Ternary>();
        }, "layer"_a, "name"_a, "weights"_a, "scale"_a, "bias"_a.none() = nb::none(), "part"_a = 0,
           "moves the matrix into the model, or a part by columns of one; scale [1] or [rows]: what a code stands for")
        .def("check_complete", &Model::check_complete)
        .def("cache", [](const Model& self, int64_t tokens) {
            check(tokens >= 0 && tokens <= self.dims.max_len, "cache: more tokens than the model reads");
            Cache c(self.dims);
            c.reserve(tokens);
            return c;
        }, "tokens"_a = 0, "an empty cache with room for so many tokens (it grows when needed)")
        .def("nbytes", &Model::bytes, "bytes of packed ternary weights")
        .def("forward", [](const Model& self, std::vector<Cache*> caches, std::vector<int64_t> counts,
                           Array<int32_t, 1> ids, const std::string& want) {
            const std::vector<Span> spans = make_spans(self, caches, counts, (int64_t)ids.shape(0));
            check(want == "nothing" || want == "last" || want == "all", "forward: want is nothing, last or all");
            const Want w = want == "nothing" ? Want::nothing : want == "last" ? Want::last : Want::all;
            const size_t rows = w == Want::nothing ? 0 : w == Want::last ? spans.size() : (size_t)ids.shape(0);
            float* out;
            nb::object result = make_array<float>({rows, (size_t)self.dims.vocab}, &out);
            {
                nb::gil_scoped_release release;
                self.forward(spans.data(), (int64_t)spans.size(), ids.data(), w, nullptr, out);
            }
            return result;
        }, "caches"_a, "counts"_a, "ids"_a, "want"_a,
           "append counts[i] of the ids to caches[i]; logits [0, sequences or m, vocab] for nothing, last, all")
        .def("profile", [](const Model& self, Cache& cache, Array<int32_t, 1> ids) {
            const std::vector<Span> spans = make_spans(self, {&cache}, {(int64_t)ids.shape(0)}, (int64_t)ids.shape(0));
            Buffer<float> logits(self.dims.vocab);
            Profile p;
            {
                nb::gil_scoped_release release;
                self.forward(spans.data(), 1, ids.data(), Want::last, nullptr, logits.data(), &p);
            }
            nb::dict seconds;
            const char* names[5] = {"norm", "linear", "attention", "rest", "head"};
            for (int i = 0; i < 5; i++) seconds[names[i]] = p.seconds[i];
            return seconds;
        }, "cache"_a, "ids"_a, "append ids; the seconds of norms, linears, attention, the rest and the head (of the last id)")
        .def("logprobs", [](const Model& self, std::vector<Cache*> caches, std::vector<int64_t> counts,
                            Array<int32_t, 1> ids, Array<int32_t, 1> targets) {
            check(targets.shape(0) == ids.shape(0), "logprobs: ids and targets differ in length");
            const std::vector<Span> spans = make_spans(self, caches, counts, (int64_t)ids.shape(0));
            float* out;
            nb::object result = make_array<float>({(size_t)ids.shape(0)}, &out);
            {
                nb::gil_scoped_release release;
                self.forward(spans.data(), (int64_t)spans.size(), ids.data(), Want::targets, targets.data(), out);
            }
            return result;
        }, "caches"_a, "counts"_a, "ids"_a, "targets"_a, "append ids; log p(targets[t] | ... ids[t])");
}
