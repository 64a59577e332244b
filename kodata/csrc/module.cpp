// The boundary to Python: strings, numpy arrays and sizes only; the GIL is released around the loops.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <memory>

#include "minhash.hpp"
#include "ngram.hpp"
#include "overlap.hpp"
#include "text_module.hpp"

namespace nb = nanobind;
using namespace kodata;

template <class T>
using Array1 = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Array2 = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class T>
static nb::object array(std::vector<T>&& values, std::size_t columns = 0) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    if (columns == 0) return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(kept->data(), {kept->size()}, owner));
    const std::size_t rows = kept->size() / columns;
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<2>>(kept->data(), {rows, columns}, owner));
}

// The strings stay alive because the caller's list holds them and the call holds the list.
static std::vector<Text> texts_of(nb::list list) {
    std::vector<Text> texts;
    texts.reserve(list.size());
    for (nb::handle item : list) {
        PyObject* s = item.ptr();
        if (!PyUnicode_Check(s)) throw nb::type_error("a list of str expected");
        texts.push_back({PyUnicode_DATA(s), static_cast<std::size_t>(PyUnicode_GET_LENGTH(s)),
                         static_cast<int>(PyUnicode_KIND(s))});
    }
    return texts;
}

// (signatures [n, count] u32, digests [n, 2] u64, spacing-free lengths [n] i64, may-not-be-NFC [n] u8)
static nb::tuple signatures(nb::list list, std::size_t n, std::size_t count, u64 seed) {
    const std::vector<Text> texts = texts_of(list);
    std::vector<u32> values(texts.size() * count, 0xFFFFFFFFu);
    std::vector<u64> digests(texts.size() * 2);
    std::vector<std::int64_t> lengths(texts.size());
    std::vector<u8> suspects(texts.size());
    {
        nb::gil_scoped_release release;
        const Permutations perms(count, seed);
        std::vector<u32> chars;
        std::vector<u64> grams;
        for (std::size_t i = 0; i < texts.size(); ++i) {
            suspects[i] = compact(texts[i], chars);
            lengths[i] = static_cast<std::int64_t>(chars.size());
            u64 h0 = 0, h1 = 0;
            for (u32 c : chars) {
                h0 = h0 * DIGEST_BASE_0 + (c + 1u);
                h1 = h1 * DIGEST_BASE_1 + (c + 1u);
            }
            digests[2 * i] = mix(h0 ^ chars.size());
            digests[2 * i + 1] = mix(h1 ^ chars.size());
            ngrams(chars, n, grams);
            fold_minima(grams.data(), grams.size(), perms, values.data() + i * count);
        }
    }
    return nb::make_tuple(array(std::move(values), count), array(std::move(digests), 2),
                          array(std::move(lengths)), array(std::move(suspects)));
}

// (hashes u64, offsets i64 [n + 1]): sorted distinct mixed shingle hashes of each text
static nb::tuple shingle_sets(nb::list list, std::size_t n) {
    const std::vector<Text> texts = texts_of(list);
    std::vector<u64> values;
    std::vector<std::int64_t> offsets{0};
    {
        nb::gil_scoped_release release;
        std::vector<u32> chars;
        std::vector<u64> grams, spare;
        std::vector<std::size_t> places;
        for (const Text& text : texts) {
            compact(text, chars);
            ngrams(chars, n, grams);
            for (u64& g : grams) g = mix(g);
            sort_hashes(grams, spare, places);
            grams.erase(std::unique(grams.begin(), grams.end()), grams.end());
            values.insert(values.end(), grams.begin(), grams.end());
            offsets.push_back(static_cast<std::int64_t>(values.size()));
        }
    }
    return nb::make_tuple(array(std::move(values)), array(std::move(offsets)));
}

static void check_bands(const Array2<u32>& sig, std::size_t bands, std::size_t rows, std::size_t large) {
    if (rows == 0 || large == 0) throw nb::value_error("rows and large must be 1 or more");
    if (bands * rows > sig.shape(1)) throw nb::value_error("bands * rows is more than the signature's width");
    if (sig.shape(0) >= 0xFFFFFFFFull) throw nb::value_error("too many documents for one table");
}

static Part part_of(u64 low, u64 high, const Array1<u64>& large) { return {low, high, large.data(), large.shape(0)}; }

// flags u8 [rows], of the buckets with a key in [low, high]; `large`: keys of split buckets
static nb::object candidates(Array2<u32> sig, std::size_t bands, std::size_t rows, std::size_t large,
                             u32 min_match, u64 low, u64 high, Array1<u64> large_keys) {
    check_bands(sig, bands, rows, large);
    std::vector<u8> flags(sig.shape(0));
    {
        nb::gil_scoped_release release;
        flag_candidates({sig.data(), sig.shape(0), sig.shape(1)}, {bands, rows, large},
                        part_of(low, high, large_keys), min_match, flags.data());
    }
    return array(std::move(flags));
}

// (band keys u64 [n, bands], sketches u64 [n, words])
static nb::tuple entries(Array2<u32> sig, std::size_t bands, std::size_t rows) {
    check_bands(sig, bands, rows, 1);
    const Signatures table{sig.data(), sig.shape(0), sig.shape(1)};
    std::vector<u64> keys(table.rows * bands), words(table.rows * sketch_words(table.width));
    {
        nb::gil_scoped_release release;
        band_keys(table, {bands, rows, 1}, keys.data());
        sketches(table, words.data());
    }
    return nb::make_tuple(array(std::move(keys), bands), array(std::move(words), sketch_words(table.width)));
}

// flags u8 [n] of entries sorted by key
static nb::object meetings(Array1<u64> keys, Array2<u64> sketch, std::size_t width, std::size_t large, u32 min_match) {
    if (sketch.shape(0) != keys.shape(0) || sketch.shape(1) != sketch_words(width))
        throw nb::value_error("one sketch of the signature's width for each key");
    if (large == 0) throw nb::value_error("large must be 1 or more");
    if (keys.shape(0) >= 0xFFFFFFFFull) throw nb::value_error("too many entries for one part");
    std::vector<u8> flags(keys.shape(0));
    {
        nb::gil_scoped_release release;
        flag_meetings(keys.data(), sketch.data(), keys.shape(0), width, large, min_match, flags.data());
    }
    return array(std::move(flags));
}

// unions of the pairs [m, 2]
static void join_pairs(Components& components, Array2<std::int64_t> edges) {
    if (edges.shape(1) != 2) throw nb::value_error("edges must be [m, 2]");
    const std::int64_t size = static_cast<std::int64_t>(components.size());
    const std::int64_t* e = edges.data();
    for (std::size_t i = 0; i < 2 * edges.shape(0); ++i)
        if (e[i] < 0 || e[i] >= size) throw nb::value_error("an edge names a row that is not there");
    nb::gil_scoped_release release;
    for (std::size_t i = 0; i < edges.shape(0); ++i) components.join(e[2 * i], e[2 * i + 1]);
}

static void check_sets(const Array1<u64>& values, const Array1<std::int64_t>& offsets, std::size_t rows) {
    if (offsets.shape(0) != rows + 1) throw nb::value_error("offsets must have one more entry than rows");
    std::int64_t last = 0;
    for (std::size_t i = 0; i <= rows; ++i) {
        if (offsets.data()[i] < last) throw nb::value_error("offsets must ascend from 0");
        last = offsets.data()[i];
    }
    if (last > static_cast<std::int64_t>(values.shape(0))) throw nb::value_error("offsets point past the values");
}

static nb::tuple clusters(Array2<u32> sig, std::size_t bands, std::size_t rows, std::size_t large,
                          u32 min_match, Array1<u64> values, Array1<std::int64_t> offsets, double threshold,
                          u64 low, u64 high, Array1<u64> large_keys) {
    check_bands(sig, bands, rows, large);
    check_sets(values, offsets, sig.shape(0));
    std::vector<u32> parent(sig.shape(0));
    ClusterCounts c;
    {
        nb::gil_scoped_release release;
        c = cluster({sig.data(), sig.shape(0), sig.shape(1)}, {bands, rows, large},
                    part_of(low, high, large_keys), min_match, {values.data(), offsets.data()}, threshold, parent.data());
    }
    nb::dict counts;
    counts["buckets"] = c.buckets;
    counts["largest_bucket"] = c.largest_bucket;
    counts["estimated"] = c.estimated;
    counts["verified"] = c.verified;
    counts["edges"] = c.edges;
    return nb::make_tuple(array(std::move(parent)), counts);
}

static nb::object jaccards(Array1<u64> values, Array1<std::int64_t> offsets, Array2<std::int64_t> pairs) {
    const std::int64_t rows = static_cast<std::int64_t>(offsets.shape(0)) - 1;
    check_sets(values, offsets, rows < 0 ? 0 : rows);
    if (pairs.shape(1) != 2) throw nb::value_error("pairs must be [m, 2]");
    std::vector<double> out(pairs.shape(0));
    const std::int64_t* o = offsets.data();
    for (std::size_t i = 0; i < out.size(); ++i) {
        const std::int64_t a = pairs.data()[2 * i], b = pairs.data()[2 * i + 1];
        if (a < 0 || b < 0 || a >= rows || b >= rows) throw nb::value_error("a pair names a row that is not there");
        out[i] = jaccard(values.data() + o[a], o[a + 1] - o[a], values.data() + o[b], o[b + 1] - o[b]);
    }
    return array(std::move(out));
}

// values[ends[r] .. ends[r + 1]) of every row r, one after another
static nb::object spans(Array1<u64> values, Array1<std::int64_t> ends, Array1<std::int64_t> rows) {
    check_sets(values, ends, ends.shape(0) ? ends.shape(0) - 1 : 0);
    const std::int64_t* e = ends.data();
    const std::int64_t count = static_cast<std::int64_t>(ends.shape(0)) - 1;
    std::vector<u64> out;
    std::size_t size = 0;
    for (std::size_t i = 0; i < rows.shape(0); ++i) {
        const std::int64_t r = rows.data()[i];
        if (r < 0 || r >= count) throw nb::value_error("a row that is not there");
        size += static_cast<std::size_t>(e[r + 1] - e[r]);
    }
    out.reserve(size);
    {
        nb::gil_scoped_release release;
        for (std::size_t i = 0; i < rows.shape(0); ++i) {
            const std::int64_t r = rows.data()[i];
            out.insert(out.end(), values.data() + e[r], values.data() + e[r + 1]);
        }
    }
    return array(std::move(out));
}

// a new index, owned by the Python object that is made of it
static OverlapIndex* make_index(nb::list fields, std::size_t n) {
    const std::vector<Text> texts = texts_of(fields);
    auto index = std::make_unique<OverlapIndex>(n);
    std::vector<u32> chars;
    for (const Text& text : texts) {
        compact(text, chars);
        index->add(chars);
    }
    index->build();
    return index.release();
}

// rows of (document, field, found, total), u32 [m, 4]
static nb::object overlaps(OverlapIndex& index, nb::list list) {
    const std::vector<Text> texts = texts_of(list);
    std::vector<Overlap> found;
    {
        nb::gil_scoped_release release;
        std::vector<u32> chars;
        for (std::size_t i = 0; i < texts.size(); ++i) {
            compact(texts[i], chars);
            index.search(static_cast<u32>(i), chars, found);
        }
    }
    std::vector<u32> flat;
    for (const Overlap& o : found) flat.insert(flat.end(), {o.document, o.field, o.found, o.total});
    return array(std::move(flat), 4);
}

using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

static KeyTable key_table(nb::handle keys, nb::handle values) {
    const auto k = nb::cast<Array1<u64>>(keys);
    const auto v = nb::cast<Floats>(values);
    if (k.shape(0) != v.shape(0)) throw nb::value_error("as many values as keys");
    return KeyTable(k.data(), v.data(), k.shape(0));
}

// Lists by order: keys u64 and values f32 of n-grams, of contexts.
static NgramTable* ngram_table(nb::list grams, nb::list alphas, nb::list contexts, nb::list gammas, unsigned bits) {
    const std::size_t n = grams.size();
    if (n == 0 || bits * n > 60 || alphas.size() != n || contexts.size() != n || gammas.size() != n)
        throw nb::value_error("one array of each kind for each order, at most 60 bits");
    auto table = std::make_unique<NgramTable>(bits);
    for (std::size_t i = 0; i < n; ++i)
        table->add(key_table(grams[i], alphas[i]), key_table(contexts[i], gammas[i]));
    return table.release();
}

static nb::object ngram_costs(const NgramTable& table, nb::ndarray<const u16, nb::ndim<1>, nb::c_contig, nb::device::cpu> numbers,
                              double log2_size, double unknown_bits) {
    const std::size_t count = numbers.shape(0), n = table.order();
    std::vector<double> out(count < n ? 0 : count - n + 1);
    {
        nb::gil_scoped_release release;
        table.costs(numbers.data(), count, log2_size, unknown_bits, out.data());
    }
    return array(std::move(out));
}

NB_MODULE(_native, m) {
    m.attr("__doc__") = "Native core of kodata";
    m.def("isa", &isa_name);
    m.def("use_isa", &use_isa);
    m.def("signatures", &signatures);
    m.def("shingle_sets", &shingle_sets);
    m.def("candidates", &candidates);
    m.def("clusters", &clusters);
    m.def("entries", &entries);
    m.def("meetings", &meetings);
    nb::class_<Components>(m, "Components")
        .def(nb::init<std::size_t>())
        .def("join", &join_pairs)
        .def("roots", [](Components& components) { return array(std::move(components).roots()); });
    m.def("jaccards", &jaccards);
    m.def("spans", &spans);
    m.def("surely_nfc", [](u32 c) { return surely_nfc(c); });
    nb::class_<OverlapIndex>(m, "OverlapIndex").def("search", &overlaps);
    m.def("overlap_index", &make_index);
    nb::class_<NgramTable>(m, "NgramTable").def("costs", &ngram_costs);
    m.def("ngram_table", &ngram_table);
    bind_text(m);
}
