// The text core's boundary to Python: strings in, strings and numbers out.
#include "text_module.hpp"

#include <nanobind/ndarray.h>

#include <map>
#include <string>

#include "frame.hpp"
#include "measure.hpp"
#include "normal.hpp"
#include "settled.hpp"
#include "shapes.hpp"
#include "words.hpp"

namespace nb = nanobind;
using namespace kodata;

namespace {

Chars& shared_chars() {
    static thread_local Chars chars;
    return chars;
}

Text text_of(nb::handle item) {
    PyObject* s = item.ptr();
    if (!PyUnicode_Check(s)) throw nb::type_error("a str expected");
    return {PyUnicode_DATA(s), static_cast<std::size_t>(PyUnicode_GET_LENGTH(s)), static_cast<int>(PyUnicode_KIND(s))};
}

Chars& loaded(nb::handle item) {
    Chars& chars = shared_chars();
    load(text_of(item), chars);
    return chars;
}

nb::object string_of(const u32* data, std::size_t n) {
    PyObject* made = PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, data, static_cast<Py_ssize_t>(n));
    if (!made) throw nb::python_error();
    return nb::steal(made);
}

// Python's part of normalisation; never freed, because the interpreter may be gone when statics die
struct Python {
    nb::object known, nfc;
    std::map<Chars, Chars> entities;  // what is known of the few that occur
};

Python& python() {
    static auto* made = new Python;
    return *made;
}

constexpr std::size_t MAX_ENTITIES = 4096;
constexpr std::size_t MEASURES = 34;

Callbacks& callbacks() {
    static Callbacks made{
        [](const u32* entity, std::size_t n, Chars& out) {
            auto& seen = python().entities;
            Chars key(entity, entity + n);
            auto found = seen.find(key);
            if (found == seen.end()) {
                if (seen.size() >= MAX_ENTITIES) seen.clear();
                Chars value;
                const nb::object answer = python().known(string_of(entity, n));
                load(text_of(answer), value);
                found = seen.emplace(std::move(key), std::move(value)).first;
            }
            out.insert(out.end(), found->second.begin(), found->second.end());
        },
        [](Chars& text) {
            const nb::object answer = python().nfc("NFC", string_of(text.data(), text.size()));
            load(text_of(answer), text);
        }};
    return made;
}

std::vector<u32> full_table(nb::dict changes) {
    std::vector<u32> table(0x10000);
    for (u32 c = 0; c < 0x10000; ++c) table[c] = c;
    for (auto [key, value] : changes) {
        const u32 code = nb::cast<u32>(key);
        if (code >= 0x10000) throw nb::value_error("tables are of the basic plane");
        if (value.is_none()) {
            table[code] = GONE;
            continue;
        }
        Chars to;
        load(text_of(value), to);
        if (to.size() != 1) throw nb::value_error("a character becomes one character or nothing");
        table[code] = to[0];
    }
    return table;
}

void set_tables(nb::dict prose, nb::dict code, nb::str ideographs, nb::str common, nb::str ksx, nb::object known, nb::object nfc) {
    Tables& made = tables();
    made.prose = full_table(prose);
    made.code = full_table(code);
    load(text_of(ideographs), made.ideographs);
    if (made.ideographs.size() != 0x200) throw nb::value_error("U+F900-FAFF are 512 characters");
    made.syllables.fill(0);
    Chars syllables;
    for (int bit : {1, 2}) {
        load(text_of(bit == 1 ? common : ksx), syllables);
        for (u32 c : syllables) {
            if (!is_hangul(c)) throw nb::value_error("a syllable expected");
            made.syllables[c - 0xAC00] |= static_cast<u8>(bit);
        }
    }
    mark_signs(made);
    python().known = known;
    python().nfc = nfc;
    python().entities.clear();
}

void need_tables() {
    if (tables().prose.empty()) throw std::runtime_error("set_tables comes first");
}

// the text itself when it is in normal form, its normal form, or None when Python must do it
nb::object normal_form(nb::handle text) {
    if (settled(text_of(text))) return nb::borrow(text);
    Chars& chars = loaded(text);
    static thread_local Chars before;
    before = chars;
    if (!normalise(chars, callbacks())) return nb::none();
    if (chars == before) return nb::borrow(text);
    return string_of(chars.data(), chars.size());
}

nb::list normal_forms(nb::list texts) {
    need_tables();
    nb::list made;
    for (nb::handle text : texts) made.append(normal_form(text));
    return made;
}

// the fields of kodata.text.measure.Measures, in order
void put(const Measured& m, double* to) {
    auto whole = [&](long long v) { *to++ = static_cast<double>(v); };
    auto shares = [&](std::initializer_list<double> values) { to = std::copy(values.begin(), values.end(), to); };
    whole(m.chars);
    whole(m.eojeol);
    shares({m.mean_eojeol});
    whole(m.lines);
    shares({m.korean, m.hanja, m.kana});
    whole(m.hangul_chars);
    whole(m.korean_chars);
    shares({m.jamo, m.symbols, m.digits, m.lost, m.rare, m.common, m.line_punct, m.prose, m.mean_line, m.newlines, m.bullets,
            m.ellipsis});
    whole(m.particles);
    shares({m.dup_lines, m.dup_line_chars, m.top[0], m.top[1], m.top[2], m.dup[0], m.dup[1], m.dup[2], m.dup[3], m.dup[4],
            m.dup[5], m.char_repeat});
}

using Table = nb::ndarray<double, nb::shape<-1, MEASURES>, nb::c_contig, nb::device::cpu>;
constexpr std::size_t FACTS = 9;
using Facts = nb::ndarray<std::int64_t, nb::shape<-1, FACTS>, nb::c_contig, nb::device::cpu>;
using Kinds = nb::ndarray<const u32, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Fills a row of measures and one of facts for each text. Facts: bytes in UTF-8, bits of shapes, hits of spam and of abuse,
// a run of jamo?, then of the cues: hits of kind 0, of kind 1, of the other kinds, and how many of those kinds there are.
// `kinds`: bits of the kinds of each cue.
void look(nb::list list, const Words& spam, const Words& abuse, const Words& cues, Kinds kinds, Table table, Facts facts) {
    need_tables();
    if (table.shape(0) != list.size() || facts.shape(0) != list.size()) throw nb::value_error("one row a text");
    if (kinds.shape(0) != cues.size()) throw nb::value_error("kinds of each cue");
    static thread_local std::vector<u32> counts;
    double* row = table.data();
    std::int64_t* fact = facts.data();
    for (nb::handle item : list) {
        const Text text = text_of(item);
        const Chars& chars = loaded(item);
        Measured m;
        measure(chars, m);
        put(m, row);
        std::fill(fact, fact + FACTS, 0);
        fact[0] = static_cast<std::int64_t>(utf8_size(text));
        fact[1] = shapes(chars.data(), chars.size());
        fact[2] = static_cast<std::int64_t>(spam.count(text, counts));
        fact[3] = static_cast<std::int64_t>(abuse.count(text, counts));
        fact[4] = has_jamo_run(chars.data(), chars.size());
        if (cues.count(text, counts)) {
            u32 seen = 0;
            for (std::size_t i = 0; i < counts.size(); ++i) {
                if (!counts[i]) continue;
                const u32 of = kinds.data()[i];
                for (u32 kind : {1u, 2u})
                    if (of & kind) fact[4 + kind] += counts[i];
                if (of & ~3u) fact[7] += counts[i];
                seen |= of & ~3u;
            }
            for (; seen; seen &= seen - 1) ++fact[8];
        }
        row += MEASURES;
        fact += FACTS;
    }
}

using Keys = nb::ndarray<u64, nb::shape<-1, EDGES>, nb::c_contig, nb::device::cpu>;

// Fills a row of Edges for each text and its site.
void fill_edges(nb::list texts, nb::list sites, Keys keys) {
    if (texts.size() != sites.size() || keys.shape(0) != texts.size()) throw nb::value_error("one site and one row a text");
    Chars site;
    u64* row = keys.data();
    for (std::size_t i = 0; i < texts.size(); ++i) {
        load(text_of(sites[i]), site);
        const Edges found = edges(loaded(texts[i]), site);
        row = std::copy(std::begin(found.head), std::end(found.head), row);
        row = std::copy(std::begin(found.tail), std::end(found.tail), row);
        *row++ = found.site;
        *row++ = found.document;
    }
}

std::vector<Chars> words_of(nb::list list) {
    std::vector<Chars> words;
    for (nb::handle item : list) {
        words.emplace_back();
        load(text_of(item), words.back());
    }
    return words;
}

}  // namespace

void bind_text(nb::module_& m) {
    m.def("set_tables", &set_tables);
    m.def("normal_form", [](nb::str text) {
        need_tables();
        return normal_form(text);
    });
    m.def("normal_forms", &normal_forms);
    m.def("look", &look);
    m.def("edges", &fill_edges);
    m.def("shapes", [](nb::str text) {
        const Chars& chars = loaded(text);
        return shapes(chars.data(), chars.size());
    });
    m.def("utf8_size", [](nb::str text) { return utf8_size(text_of(text)); });
    m.def("has_jamo_run", [](nb::str text) {
        const Chars& chars = loaded(text);
        return has_jamo_run(chars.data(), chars.size());
    });
    m.def("character_class", [](u32 c) { return char_table().at(c); });
    m.def("nfc_alone", [](u32 c) {
        need_tables();
        return nfc_alone(c);
    });
    nb::class_<Words>(m, "Words")
        .def("__init__",
             [](Words* self, nb::list list, nb::str skipped) {
                 Chars skip;
                 load(text_of(skipped), skip);
                 new (self) Words(words_of(list), skip);
             })
        .def("total",
             [](const Words& self, nb::str text) {
                 static thread_local std::vector<u32> counts;
                 return self.count(text_of(text), counts);
             })
        .def("counts", [](const Words& self, nb::str text) {
            std::vector<u32> counts;
            self.count(text_of(text), counts);
            nb::list made;
            for (u32 n : counts) made.append(n);
            return made;
        });
}
