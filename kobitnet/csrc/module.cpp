// Python boundary: every shape, size and id is checked here or in the constructors; long calls release the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include "kernels.h"
#include "model.h"
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

void set_table(Table& t, const Array<float, 2>* f, const Array<uint16_t, 2>* h, const Dims& d) {
    const int64_t rows = (int64_t)(f ? f->shape(0) : h->shape(0)), cols = (int64_t)(f ? f->shape(1) : h->shape(1));
    check(rows == d.vocab && cols == d.hidden, "table: shape is not [vocab, hidden]");
    t = Table();
    if (f) { t.f32.resize(rows * cols); std::memcpy(t.f32.data(), f->data(), (size_t)(rows * cols) * 4); }
    else { t.bf16.resize(rows * cols); std::memcpy(t.bf16.data(), h->data(), (size_t)(rows * cols) * 2); }
}

Linear* find(Model& m, int layer, const std::string& name) {
    check(layer >= 0 && layer < m.dims.layers, "layer out of range");
    Block& b = m.blocks[(size_t)layer];
    if (name == "q_proj") return &b.q;
    if (name == "k_proj") return &b.k;
    if (name == "v_proj") return &b.v;
    if (name == "o_proj") return &b.o;
    if (name == "gate_proj") return &b.gate;
    if (name == "up_proj") return &b.up;
    if (name == "down_proj") return &b.down;
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
        .def_prop_ro("nbytes", [](const Weights& w) { return w.t->tiles.size(); })
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
        .def("time_matmul", [](const Weights& w, Array<int8_t, 2> x, int repeat, std::vector<const Weights*> pool) {
            // Kernel time alone: `repeat` products, each with the next matrix of the pool (or always this one).
            check((int64_t)x.shape(1) == w.t->cols && x.shape(0) > 0 && repeat > 0, "time_matmul: bad arguments");
            for (const Weights* p : pool) check(p && p->t->rows == w.t->rows && p->t->cols == w.t->cols, "pool: shape");
            Quantized q;
            fill(q, x.data(), x.shape(0), x.shape(1));
            Buffer<int32_t> y((int64_t)x.shape(0) * w.t->rows);
            nb::gil_scoped_release release;
            for (int i = 0; i < repeat; i++)
                linear_int(pool.empty() ? *w.t : *pool[(size_t)i % pool.size()]->t, q, y.data());
        }, "x"_a, "repeat"_a, "pool"_a);

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
    m.def("read_bandwidth", [](Array<uint8_t, 1> memory) {           // touches every cache line once; returns a checksum
        const int64_t n = (int64_t)memory.shape(0) / 64;
        std::atomic<uint64_t> total{0};
        nb::gil_scoped_release release;
        parallel_for(n, 1 << 12, [&](int64_t begin, int64_t end) {
            uint64_t s[8] = {};
            const uint8_t* p = memory.data();
            for (int64_t i = begin; i < end; i++)
                for (int j = 0; j < 8; j++) { uint64_t v; std::memcpy(&v, p + i * 64 + j * 8, 8); s[j] += v; }
            total += s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
        });
        return total.load();
    });

    nb::class_<Cache>(m, "Cache", "Keys and values of one sequence.")
        .def_prop_ro("length", [](const Cache& c) { return c.length; })
        .def_prop_ro("nbytes", [](const Cache& c) {
            return c.capacity * c.dims.layers * c.dims.kv_heads * c.dims.head_dim * 8;
        })
        .def("truncate", [](Cache& c, int64_t length) {
            check(length >= 0 && length <= c.length, "truncate: length out of range");
            c.length = length;
        }, "length"_a, "keep the first tokens");

    nb::class_<Model>(m, "Model")
        .def("__init__", [](Model* self, int64_t vocab, int64_t hidden, int64_t inter, int64_t layers, int64_t heads,
                            int64_t kv_heads, int64_t head_dim, int64_t max_len, float eps, const std::string& act,
                            Vector inv_freq) {
            Dims d;
            d.vocab = vocab; d.hidden = hidden; d.inter = inter; d.layers = layers; d.heads = heads;
            d.kv_heads = kv_heads; d.head_dim = head_dim; d.max_len = max_len; d.eps = eps;
            check(layers > 0 && layers <= 4096, "model: layers out of range");
            check(act == "relu2" || act == "silu", "model: unknown activation " + act);
            d.act = act == "relu2" ? Activation::relu2 : Activation::silu;
            new (self) Model(d);
            self->inv_freq = floats(inv_freq, head_dim / 2, "inv_freq");
        }, nb::kw_only(), "vocab"_a, "hidden"_a, "inter"_a, "layers"_a, "heads"_a, "kv_heads"_a, "head_dim"_a,
           "max_len"_a, "eps"_a, "act"_a, "inv_freq"_a)
        .def("set_embedding", [](Model& self, Array<float, 2> a) { set_table(self.embedding, &a, nullptr, self.dims); })
        .def("set_embedding", [](Model& self, Array<uint16_t, 2> a) { set_table(self.embedding, nullptr, &a, self.dims); })
        .def("set_head", [](Model& self, Array<float, 2> a) { set_table(self.head, &a, nullptr, self.dims); })
        .def("set_head", [](Model& self, Array<uint16_t, 2> a) { set_table(self.head, nullptr, &a, self.dims); })
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
        .def("set_linear", [](Model& self, int layer, const std::string& name, Weights& w, float scale, nb::object bias) {
            Linear* l = find(self, layer, name);
            check(w.t.use_count() == 1, "set_linear takes the only reference of the matrix");
            std::vector<float> b;
            if (!bias.is_none()) b = floats(nb::cast<Vector>(bias), w.t->rows, "bias");
            l->w = std::move(*w.t);
            w.t = std::make_shared<Ternary>();
            l->scale = scale;
            l->bias = std::move(b);
        }, "layer"_a, "name"_a, "weights"_a, "scale"_a, "bias"_a.none() = nb::none(), "moves the matrix into the model")
        .def("check_complete", &Model::check_complete)
        .def("cache", [](const Model& self) { return Cache(self.dims); })
        .def("nbytes", [](const Model& self) {
            int64_t n = 0;
            for (const Block& b : self.blocks)
                for (const Linear* l : {&b.q, &b.k, &b.v, &b.o, &b.gate, &b.up, &b.down}) n += l->w.tiles.size();
            return n;
        }, "bytes of packed ternary weights")
        .def("forward", [](const Model& self, Cache& cache, Array<int32_t, 1> ids, const std::string& want) {
            const int64_t n = (int64_t)ids.shape(0);
            check(n > 0, "forward: no tokens");
            check(cache.keys.size() == self.blocks.size() && cache.dims.head_dim == self.dims.head_dim &&
                  cache.dims.kv_heads == self.dims.kv_heads, "forward: the cache is of another model");
            check(want == "nothing" || want == "last" || want == "all", "forward: want is nothing, last or all");
            const Want w = want == "nothing" ? Want::nothing : want == "last" ? Want::last : Want::all;
            const size_t rows = w == Want::nothing ? 0 : w == Want::last ? 1 : (size_t)n;
            float* out;
            nb::object result = make_array<float>({rows, (size_t)self.dims.vocab}, &out);
            {
                nb::gil_scoped_release release;
                self.forward(cache, ids.data(), n, w, nullptr, out);
            }
            return result;
        }, "cache"_a, "ids"_a, "want"_a, "append ids to the cache; logits [0, 1 or m, vocab]")
        .def("logprobs", [](const Model& self, Cache& cache, Array<int32_t, 1> ids, Array<int32_t, 1> targets) {
            const int64_t n = (int64_t)ids.shape(0);
            check(n > 0 && targets.shape(0) == ids.shape(0), "logprobs: ids and targets differ in length");
            check(cache.keys.size() == self.blocks.size() && cache.dims.head_dim == self.dims.head_dim &&
                  cache.dims.kv_heads == self.dims.kv_heads, "logprobs: the cache is of another model");
            float* out;
            nb::object result = make_array<float>({(size_t)n}, &out);
            {
                nb::gil_scoped_release release;
                self.forward(cache, ids.data(), n, Want::targets, targets.data(), out);
            }
            return result;
        }, "cache"_a, "ids"_a, "targets"_a, "append ids; log p(targets[t] | ... ids[t])");
}
