// The text core's boundary to Python: strings in, strings and numbers out.
#include "text_module.hpp"

#include <map>
#include <string>

#include "measure.hpp"
#include "normal.hpp"
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
constexpr Py_ssize_t MEASURES = 34;

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
nb::object normal_form(nb::str text) {
    need_tables();
    Chars& chars = loaded(text);
    static thread_local Chars before;
    before = chars;
    if (!normalise(chars, callbacks())) return nb::none();
    if (chars == before) return text;
    return string_of(chars.data(), chars.size());
}

template <std::size_t n>
void put(PyObject* tuple, Py_ssize_t& at, const double (&values)[n]) {
    for (double v : values) PyTuple_SET_ITEM(tuple, at++, PyFloat_FromDouble(v));
}

// the fields of kodata.text.measure.Measures, in order
nb::tuple measures(nb::str text) {
    need_tables();
    const Chars& chars = loaded(text);
    Measured m;
    if (chars.size() > 1u << 16) {
        nb::gil_scoped_release release;  // thread-local work space, and tables nobody writes to any more
        measure(chars, m);
    } else {
        measure(chars, m);
    }
    nb::object made = nb::steal(PyTuple_New(MEASURES));
    PyObject* t = made.ptr();
    Py_ssize_t at = 0;
    auto whole = [&](long long v) { PyTuple_SET_ITEM(t, at++, PyLong_FromLongLong(v)); };
    whole(m.chars);
    whole(m.eojeol);
    put(t, at, {m.mean_eojeol});
    whole(m.lines);
    put(t, at, {m.korean, m.hanja, m.kana});
    whole(m.hangul_chars);
    whole(m.korean_chars);
    put(t, at, {m.jamo, m.symbols, m.digits, m.lost, m.rare, m.common, m.line_punct, m.prose, m.mean_line, m.newlines, m.bullets,
                m.ellipsis});
    whole(m.particles);
    put(t, at, {m.dup_lines, m.dup_line_chars});
    put(t, at, m.top);
    put(t, at, m.dup);
    put(t, at, {m.char_repeat});
    if (at != MEASURES) throw std::runtime_error("measures out of step");
    return nb::borrow<nb::tuple>(made);
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
    m.def("normal_form", &normal_form);
    m.def("measures", &measures);
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
