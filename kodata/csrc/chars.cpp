#include <Python.h>

#include "chars.hpp"

namespace kodata {

static u8 class_of(u32 c) {
    if ((c >= 0xAC00 && c <= 0xD7A3) || (c >= 0x1100 && c <= 0x11FF) || (c >= 0xA960 && c <= 0xA97F) ||
        (c >= 0xD7B0 && c <= 0xD7FF))
        return HANGUL;
    if (c >= 0x3131 && c <= 0x318E && c != 0x318D) return JAMO;
    if ((c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0xF900 && c <= 0xFAFF) ||
        (c >= 0x20000 && c <= 0x323AF))
        return HANJA;
    if (c >= 0x3040 && c <= 0x30FF && c != 0x30FB) return KANA;
    const bool alpha = Py_UNICODE_ISALPHA(static_cast<Py_UCS4>(c));
    if (c < 0x250 && alpha) return LATIN;
    if (Py_UNICODE_ISSPACE(static_cast<Py_UCS4>(c))) return SPACE;
    if (Py_UNICODE_ISDIGIT(static_cast<Py_UCS4>(c))) return DIGIT;
    if (c == 0xFFFD) return LOST;
    return alpha ? OTHER : SYMBOL;
}

CharTable::CharTable() {
    for (u32 c = 0; c < 0x10000; ++c) classes[c] = class_of(c);
}

u8 CharTable::beyond(u32 c) { return class_of(c); }

const CharTable& char_table() {
    static const CharTable table;
    return table;
}

bool is_word(u32 c) { return c == '_' || Py_UNICODE_ISALNUM(static_cast<Py_UCS4>(c)); }
bool is_decimal(u32 c) { return Py_UNICODE_ISDECIMAL(static_cast<Py_UCS4>(c)); }

Tables& tables() {
    static Tables made;
    return made;
}

template <class T>
static void copy(const void* data, std::size_t n, Chars& out) {
    const T* from = static_cast<const T*>(data);
    out.assign(from, from + n);
}

void load(const Text& text, Chars& out) {
    constexpr std::size_t keep = 1u << 21;
    if (out.capacity() > keep && text.length < keep / 4) Chars().swap(out);
    if (text.kind == 1) return copy<std::uint8_t>(text.data, text.length, out);
    if (text.kind == 2) return copy<std::uint16_t>(text.data, text.length, out);
    copy<std::uint32_t>(text.data, text.length, out);
}

template <class T>
static std::size_t utf8_size_of(const void* data, std::size_t n) {
    const T* text = static_cast<const T*>(data);
    std::size_t size = n;
    for (std::size_t i = 0; i < n; ++i) {
        const u32 c = text[i];
        const bool pair = (c & 0xFFFFF800u) == 0xD800;
        size += pair ? 0u : (c >= 0x80) + (c >= 0x800) + (c >= 0x10000);
    }
    return size;
}

std::size_t utf8_size(const Text& text) {
    if (text.kind == 1) return utf8_size_of<std::uint8_t>(text.data, text.length);
    if (text.kind == 2) return utf8_size_of<std::uint16_t>(text.data, text.length);
    return utf8_size_of<std::uint32_t>(text.data, text.length);
}

}  // namespace kodata
