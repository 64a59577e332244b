// Counts pre-tokens ("words") of a corpus: an open-addressing table over one arena of bytes.
#pragma once
#include <cstring>
#include <string_view>

#include "pretoken.h"

namespace kotok {

inline uint64_t hash_bytes(const uint8_t* p, size_t n) {
    uint64_t h = 0x9E3779B97F4A7C15ull ^ (n * 0xFF51AFD7ED558CCDull);
    while (n >= 8) {
        uint64_t v;
        std::memcpy(&v, p, 8);
        h = (h ^ v) * 0xC2B2AE3D27D4EB4Full;
        h ^= h >> 29;
        p += 8;
        n -= 8;
    }
    uint64_t v = 0;
    if (n) std::memcpy(&v, p, n);
    h = (h ^ v) * 0x9FB21C651E98DF25ull;
    h ^= h >> 32;
    return h;
}

class WordCounter {
  public:
    struct Word { uint64_t offset; uint32_t size; uint32_t hash; int64_t count; };

    // A pre-token longer than this many bytes (base64, text without spaces) is counted in pieces of at most this
    // size, cut between characters: one such word would otherwise cost more than the rest of the corpus.
    static constexpr size_t kMaxWord = 1000;

    WordCounter() : slots_(1 << 12, 0) {}

    void add_text(const char* text, size_t size, int max_digits) {
        Scanner scanner(text, size, max_digits);
        while (!scanner.done()) {
            const uint8_t* start = scanner.next();
            const uint8_t* end = scanner.position();
            while (size_t(end - start) > kMaxWord) {
                const uint8_t* cut = start + kMaxWord;
                while ((*cut & 0xC0) == 0x80) --cut;
                add(start, size_t(cut - start), 1);
                start = cut;
            }
            add(start, size_t(end - start), 1);
        }
    }

    void add(const uint8_t* p, size_t n, int64_t count) {
        uint64_t full = hash_bytes(p, n);
        uint32_t h = uint32_t(full);
        size_t i = full & (slots_.size() - 1);
        while (uint32_t slot = slots_[i]) {
            Word& w = words_[slot - 1];
            if (w.hash == h && w.size == n && std::memcmp(arena_.data() + w.offset, p, n) == 0) { w.count += count; return; }
            i = (i + 1) & (slots_.size() - 1);
        }
        words_.push_back({arena_.size(), uint32_t(n), h, count});
        arena_.insert(arena_.end(), p, p + n);
        slots_[i] = uint32_t(words_.size());
        if (words_.size() * 2 > slots_.size()) grow();
    }

    const std::vector<Word>& words() const { return words_; }
    const std::vector<uint8_t>& arena() const { return arena_; }

  private:
    void grow() {
        std::vector<uint32_t> slots(slots_.size() * 2, 0);
        for (size_t w = 0; w < words_.size(); ++w) {
            size_t i = hash_bytes(arena_.data() + words_[w].offset, words_[w].size) & (slots.size() - 1);
            while (slots[i]) i = (i + 1) & (slots.size() - 1);
            slots[i] = uint32_t(w + 1);
        }
        slots_.swap(slots);
    }

    std::vector<Word> words_;
    std::vector<uint8_t> arena_;
    std::vector<uint32_t> slots_;
};

}  // namespace kotok
