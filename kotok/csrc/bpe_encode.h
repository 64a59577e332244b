// Byte-level BPE encoding by an explicit list of merges: of all adjacent pairs that have a merge the one of lowest
// rank is joined first, of equal ones the leftmost, until none is left. This is what Hugging Face `tokenizers` and
// llama.cpp compute from the same list (the reference in Python is kotok/bpe.py).
#pragma once
#include <algorithm>
#include <queue>

#include "word_counter.h"

namespace kotok {

struct Merge { uint32_t left, right, joined; };

// (left, right) -> (rank, joined): open addressing, built once, read by many threads.
class MergeTable {
  public:
    struct Slot { uint64_t key; uint32_t rank, joined; };
    static constexpr uint64_t kEmpty = ~0ull;
    static constexpr uint32_t kNone = ~0u;

    explicit MergeTable(const std::vector<Merge>& merges) {
        size_t size = 1024;
        while (size < merges.size() * 4) size *= 2;
        slots_.assign(size, {kEmpty, kNone, 0});
        for (size_t rank = 0; rank < merges.size(); ++rank) {
            uint64_t key = uint64_t(merges[rank].left) << 32 | merges[rank].right;
            size_t i = place(key);
            while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
            if (slots_[i].key == kEmpty) slots_[i] = {key, uint32_t(rank), merges[rank].joined};
        }
    }

    const Slot* find(uint32_t left, uint32_t right) const {
        uint64_t key = uint64_t(left) << 32 | right;
        size_t i = place(key);
        while (slots_[i].key != key) {
            if (slots_[i].key == kEmpty) return nullptr;
            i = (i + 1) & (slots_.size() - 1);
        }
        return &slots_[i];
    }

  private:
    size_t place(uint64_t key) const {
        key *= 0x9E3779B97F4A7C15ull;
        return (key ^ key >> 32) & (slots_.size() - 1);
    }
    std::vector<Slot> slots_;
};

// Joins symbols in place; returns how many are left.
inline size_t apply_merges_short(const MergeTable& table, uint32_t* s, size_t n, std::vector<uint64_t>& scratch) {
    // scratch[i] = rank << 32 | joined of the pair (i, i + 1)
    scratch.resize(n);
    auto rate = [&](size_t i) {
        const MergeTable::Slot* m = table.find(s[i], s[i + 1]);
        return m ? uint64_t(m->rank) << 32 | m->joined : ~0ull;
    };
    for (size_t i = 0; i + 1 < n; ++i) scratch[i] = rate(i);
    while (n > 1) {
        size_t best = 0;
        uint32_t best_rank = uint32_t(scratch[0] >> 32);
        for (size_t i = 1; i + 1 < n; ++i) {
            uint32_t rank = uint32_t(scratch[i] >> 32);
            if (rank < best_rank) { best = i; best_rank = rank; }
        }
        if (best_rank == MergeTable::kNone) break;
        s[best] = uint32_t(scratch[best]);
        std::memmove(s + best + 1, s + best + 2, (n - best - 2) * sizeof(uint32_t));
        std::memmove(scratch.data() + best + 1, scratch.data() + best + 2, (n - best - 2) * sizeof(uint64_t));
        --n;
        if (best > 0) scratch[best - 1] = rate(best - 1);
        scratch[best] = best + 1 < n ? rate(best) : ~0ull;
    }
    return n;
}

// The same for long words, in O(n log n): a heap of (rank, position) over a linked list.
inline size_t apply_merges_long(const MergeTable& table, uint32_t* s, size_t n) {
    struct Item { uint32_t rank, at, left, right; };
    auto later = [](const Item& a, const Item& b) { return a.rank != b.rank ? a.rank > b.rank : a.at > b.at; };
    std::priority_queue<Item, std::vector<Item>, decltype(later)> heap(later);
    constexpr uint32_t kGone = ~0u;
    std::vector<uint32_t> next(n), previous(n);
    for (size_t i = 0; i < n; ++i) { next[i] = uint32_t(i + 1); previous[i] = uint32_t(i) - 1; }
    auto push = [&](uint32_t i) {
        uint32_t j = next[i];
        if (j >= n) return;
        if (const MergeTable::Slot* m = table.find(s[i], s[j])) heap.push({m->rank, i, s[i], s[j]});
    };
    for (size_t i = 0; i + 1 < n; ++i) push(uint32_t(i));
    while (!heap.empty()) {
        Item item = heap.top();
        heap.pop();
        uint32_t i = item.at;
        uint32_t j = s[i] == kGone ? uint32_t(n) : next[i];
        if (j >= n || s[i] != item.left || s[j] != item.right) continue;
        s[i] = table.find(item.left, item.right)->joined;
        s[j] = kGone;
        next[i] = next[j];
        if (next[i] < n) previous[next[i]] = i;
        push(i);
        if (i > 0) push(previous[i]);
    }
    size_t out = 0;
    for (size_t i = 0; i < n; i = next[i]) s[out++] = s[i];
    return out;
}

inline size_t apply_merges(const MergeTable& table, uint32_t* s, size_t n, std::vector<uint64_t>& scratch) {
    return n <= 96 ? apply_merges_short(table, s, n, scratch) : apply_merges_long(table, s, n);
}

// Encodes texts with a cache of words; one per thread, all sharing the table.
class TextEncoder {
  public:
    TextEncoder(const MergeTable& table, int max_digits) : table_(table), max_digits_(max_digits), cache_(kCacheSize) {}

    void encode(const char* text, size_t size, std::vector<uint32_t>& out) {
        Scanner scanner(text, size, max_digits_);
        while (!scanner.done()) {
            const uint8_t* start = scanner.next();
            word(start, size_t(scanner.position() - start), out);
        }
    }

  private:
    static constexpr size_t kCacheSize = 1 << 16;
    static constexpr size_t kWordBytes = 36;
    static constexpr size_t kWordIds = 6;
    // Direct mapped: a newcomer replaces whoever held the place, so memory is fixed (5 MB) and nothing is ever wrong.
    struct Cached { uint8_t size = 0, count = 0; uint8_t bytes[kWordBytes]; uint32_t ids[kWordIds]; };

    void word(const uint8_t* p, size_t n, std::vector<uint32_t>& out) {
        if (n == 1) { out.push_back(*p); return; }
        Cached* place = nullptr;
        if (n <= kWordBytes) {
            place = &cache_[hash_bytes(p, n) & (kCacheSize - 1)];
            if (place->size == n && std::memcmp(place->bytes, p, n) == 0) {
                out.insert(out.end(), place->ids, place->ids + place->count);
                return;
            }
        }
        symbols_.assign(p, p + n);
        size_t count = apply_merges(table_, symbols_.data(), n, scratch_);
        out.insert(out.end(), symbols_.begin(), symbols_.begin() + std::ptrdiff_t(count));
        if (place && count <= kWordIds) {
            place->size = uint8_t(n);
            place->count = uint8_t(count);
            std::memcpy(place->bytes, p, n);
            std::copy_n(symbols_.begin(), count, place->ids);
        }
    }

    const MergeTable& table_;
    int max_digits_;
    std::vector<Cached> cache_;
    std::vector<uint32_t> symbols_;
    std::vector<uint64_t> scratch_;
};

}  // namespace kotok
