// kotok._native: pre-tokenisation, word counts, BPE training and encoding. Strings come in as Python str, numbers as
// contiguous numpy arrays; the interpreter lock is released for the work itself.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "bpe_train.h"

namespace nb = nanobind;
using namespace kotok;

template <class T>
using In = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
nb::object to_numpy(std::vector<T>&& values) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(kept->data(), {kept->size()}, owner));
}

struct Text { const char* data; size_t size; };

// UTF-8 of each str of a list; the list keeps them alive. A lone surrogate raises UnicodeEncodeError.
static std::vector<Text> texts_of(nb::list list) {
    std::vector<Text> out;
    out.reserve(list.size());
    for (nb::handle item : list) {
        Py_ssize_t size = 0;
        const char* data = PyUnicode_AsUTF8AndSize(item.ptr(), &size);
        if (!data) throw nb::python_error();
        out.push_back({data, size_t(size)});
    }
    return out;
}

static std::vector<Merge> merges_of(In<uint32_t> flat) {
    if (flat.size() % 3) throw nb::value_error("merges: a flat array of left, right, joined");
    std::vector<Merge> out(flat.size() / 3);
    uint32_t known = 256;
    for (size_t i = 0; i < out.size(); ++i) {
        out[i] = {flat.data()[3 * i], flat.data()[3 * i + 1], flat.data()[3 * i + 2]};
        if (out[i].left >= known || out[i].right >= known || out[i].joined < 256 || out[i].joined > known)
            throw nb::value_error("merges: an id is used before it is made");
        if (out[i].joined == known) ++known;
    }
    return out;
}

static std::vector<uint32_t> flat_of(const std::vector<Merge>& merges) {
    std::vector<uint32_t> out;
    out.reserve(merges.size() * 3);
    for (const Merge& m : merges) { out.push_back(m.left); out.push_back(m.right); out.push_back(m.joined); }
    return out;
}

class Encoder {
  public:
    Encoder(In<uint32_t> merges, int max_digits) : table_(merges_of(merges)), max_digits_(max_digits) {}

    // (ids u32 of all texts end to end, ends u64 of each text)
    nb::tuple encode(nb::list list, int threads) {
        std::vector<Text> texts = texts_of(list);
        std::vector<uint32_t> ids;
        std::vector<uint64_t> ends(texts.size());
        {
            nb::gil_scoped_release release;
            run(texts, threads, ids, ends);
        }
        return nb::make_tuple(to_numpy(std::move(ids)), to_numpy(std::move(ends)));
    }

  private:
    // Texts are taken in runs of about 256 KB by whichever thread is free, and put together in order.
    void run(const std::vector<Text>& texts, int threads, std::vector<uint32_t>& ids, std::vector<uint64_t>& ends) {
        struct Run { size_t first, last; std::vector<uint32_t> ids; };
        std::vector<Run> runs;
        for (size_t i = 0, bytes = 0; i < texts.size(); ++i) {
            if (runs.empty() || bytes > (256 << 10)) { runs.push_back({i, i, {}}); bytes = 0; }
            runs.back().last = i + 1;
            bytes += texts[i].size;
        }
        std::atomic<size_t> next{0};
        std::exception_ptr failure;
        std::mutex failing;
        auto work = [&] {
            std::unique_ptr<TextEncoder> encoder = borrow();
            try {
                for (size_t r; (r = next++) < runs.size();) {
                    for (size_t i = runs[r].first; i < runs[r].last; ++i) {
                        encoder->encode(texts[i].data, texts[i].size, runs[r].ids);
                        ends[i] = runs[r].ids.size();
                    }
                }
            } catch (...) {
                std::lock_guard<std::mutex> lock(failing);
                failure = std::current_exception();
            }
            give_back(std::move(encoder));
        };
        std::vector<std::thread> others;
        size_t count = std::min<size_t>(std::max(threads, 1), runs.size());
        for (size_t t = 1; t < count; ++t) others.emplace_back(work);
        work();
        for (std::thread& t : others) t.join();
        if (failure) std::rethrow_exception(failure);
        if (runs.size() == 1) { ids = std::move(runs[0].ids); return; }
        size_t total = 0;
        for (const Run& r : runs) total += r.ids.size();
        ids.reserve(total);
        for (Run& r : runs) {
            for (size_t i = r.first; i < r.last; ++i) ends[i] += ids.size();
            ids.insert(ids.end(), r.ids.begin(), r.ids.end());
        }
    }

    // Encoders keep their word caches between calls.
    std::unique_ptr<TextEncoder> borrow() {
        std::lock_guard<std::mutex> lock(mutex_);
        if (idle_.empty()) return std::make_unique<TextEncoder>(table_, max_digits_);
        std::unique_ptr<TextEncoder> e = std::move(idle_.back());
        idle_.pop_back();
        return e;
    }

    void give_back(std::unique_ptr<TextEncoder> e) {
        std::lock_guard<std::mutex> lock(mutex_);
        idle_.push_back(std::move(e));
    }

    MergeTable table_;
    int max_digits_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<TextEncoder>> idle_;
};

// Byte offsets where each pre-token of a text ends.
static nb::object pretoken_ends(nb::str text, int max_digits) {
    Py_ssize_t size = 0;
    const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (!data) throw nb::python_error();
    std::vector<uint64_t> ends;
    Scanner scanner(data, size_t(size), max_digits);
    while (!scanner.done()) {
        scanner.next();
        ends.push_back(uint64_t(scanner.position() - reinterpret_cast<const uint8_t*>(data)));
    }
    return to_numpy(std::move(ends));
}

// (bytes end to end u8, ends u64, counts i64) of all words, in the order they were first seen.
static nb::tuple words_of(const WordCounter& counter) {
    std::vector<uint8_t> bytes(counter.arena());
    std::vector<uint64_t> ends;
    std::vector<int64_t> counts;
    for (const WordCounter::Word& w : counter.words()) {
        ends.push_back(w.offset + w.size);
        counts.push_back(w.count);
    }
    return nb::make_tuple(to_numpy(std::move(bytes)), to_numpy(std::move(ends)), to_numpy(std::move(counts)));
}

static void check_words(const In<uint8_t>& bytes, const In<uint64_t>& ends, const In<int64_t>& counts) {
    uint64_t at = 0;
    if (ends.size() != counts.size()) throw nb::value_error("one count a word");
    for (size_t i = 0; i < ends.size(); ++i) {
        if (ends.data()[i] < at || ends.data()[i] > bytes.size()) throw nb::value_error("word ends out of order");
        at = ends.data()[i];
    }
}

static nb::object train_merges(In<uint8_t> bytes, In<uint64_t> ends, In<int64_t> counts, In<uint32_t> base,
                               size_t tokens, int64_t min_count, bool whole_chars, nb::object tick) {
    check_words(bytes, ends, counts);
    std::vector<Merge> start = merges_of(base);
    std::vector<uint32_t> flat;
    {
        nb::gil_scoped_release release;
        Trainer trainer(bytes.data(), ends.data(), counts.data(), ends.size(), start, whole_chars);
        trainer.run(tokens, min_count, [&](size_t made) {
            nb::gil_scoped_acquire acquire;
            if (PyErr_CheckSignals() != 0) throw nb::python_error();
            if (!tick.is_none()) tick(made);
        });
        flat = flat_of(trainer.merges());
    }
    return to_numpy(std::move(flat));
}

NB_MODULE(_native, m) {
    m.attr("__doc__") = "Native core of kotok: pre-tokens, word counts, BPE training and encoding";
    nb::class_<Encoder>(m, "Encoder")
        .def(nb::init<In<uint32_t>, int>(), nb::arg("merges"), nb::arg("max_digits"))
        .def("encode", &Encoder::encode, nb::arg("texts"), nb::arg("threads") = 1);
    nb::class_<WordCounter>(m, "WordCounter")
        .def(nb::init<>())
        .def("add_texts", [](WordCounter& self, nb::list list, int max_digits) {
            std::vector<Text> texts = texts_of(list);
            nb::gil_scoped_release release;
            for (const Text& t : texts) self.add_text(t.data, t.size, max_digits);
        }, nb::arg("texts"), nb::arg("max_digits"))
        .def("add_words", [](WordCounter& self, In<uint8_t> bytes, In<uint64_t> ends, In<int64_t> counts) {
            check_words(bytes, ends, counts);
            for (size_t i = 0, at = 0; i < ends.size(); at = ends.data()[i++])
                self.add(bytes.data() + at, ends.data()[i] - at, counts.data()[i]);
        }, nb::arg("bytes"), nb::arg("ends"), nb::arg("counts"))
        .def("words", &words_of)
        .def("__len__", [](const WordCounter& self) { return self.words().size(); });
    // The class of every code point (csrc/pretoken.h), for the test that compares it with `tokenizers`.
    m.def("code_classes", [] { return to_numpy(std::vector<uint8_t>(class_table(), class_table() + 0x110000)); });
    m.def("pretoken_ends", &pretoken_ends, nb::arg("text"), nb::arg("max_digits"));
    m.def("train_merges", &train_merges, nb::arg("bytes"), nb::arg("ends"), nb::arg("counts"), nb::arg("base"),
          nb::arg("tokens"), nb::arg("min_count"), nb::arg("whole_chars"), nb::arg("tick").none() = nb::none());
}
