// Byte-level BPE training on counted words.
//
// The rule (kotok/bpe.py has it as a plain loop, which is the oracle): a pair counts once for every place where its
// two symbols stand side by side, times the word's count. The most frequent pair is merged everywhere, left to right;
// of equally frequent pairs the one with the smaller left id, then the smaller right id. A pair whose joined bytes are
// already a token gets a merge to that token and no new id; where that puts a pair side by side which has a merge
// already, it is joined at once (lowest rank first), as an encoder would. Training ends when `tokens` ids exist or no pair has
// `min_count`. The result depends on the counts only, not on the order of the words.
//
// whole_chars: a pair may only be merged when the result is whole UTF-8 characters or the beginning of one character,
// so no token holds a piece of a character next to something else.
#pragma once
#include <string>
#include <unordered_map>

#include "bpe_encode.h"

namespace kotok {

class Trainer {
  public:
    // Word w is bytes[ends[w - 1] .. ends[w]); `base` merges are applied first, as an encoder would.
    Trainer(const uint8_t* bytes, const uint64_t* ends, const int64_t* counts, size_t words,
            const std::vector<Merge>& base, bool whole_chars)
        : counts_(counts), merges_(base), whole_chars_(whole_chars) {
        for (int b = 0; b < 256; ++b) strings_.push_back(std::string(1, char(b)));
        for (const Merge& m : base) {
            if (m.joined >= strings_.size()) strings_.resize(m.joined + 1);
            strings_[m.joined] = strings_[m.left] + strings_[m.right];
            ranks_[uint64_t(m.left) << 32 | m.right] = uint32_t(ranks_.size());
        }
        for (uint32_t id = 0; id < strings_.size(); ++id) {
            ids_[strings_[id]] = id;
            shapes_.push_back(shape_of(strings_[id]));
        }
        MergeTable table(base);
        std::vector<uint64_t> scratch;
        std::vector<uint32_t> word;
        offsets_.reserve(words + 1);
        offsets_.push_back(0);
        uint64_t start = 0;
        for (size_t w = 0; w < words; ++w) {
            word.assign(bytes + start, bytes + ends[w]);
            start = ends[w];
            size_t n = base.empty() ? word.size() : apply_merges(table, word.data(), word.size(), scratch);
            symbols_.insert(symbols_.end(), word.begin(), word.begin() + std::ptrdiff_t(n));
            offsets_.push_back(symbols_.size());
            sizes_.push_back(uint32_t(n));
        }
        pair_slots_.assign(1 << 16, 0);
        for (uint32_t w = 0; w < words; ++w) {
            const uint32_t* s = symbols_.data() + offsets_[w];
            for (uint32_t i = 0; i + 1 < sizes_[w]; ++i) {
                Pair& pair = pair_of(s[i], s[i + 1]);
                pair.count += counts_[w];
                if (pair.words.empty() || pair.words.back() != w) pair.words.push_back(w);
            }
        }
        for (uint32_t p = 0; p < pairs_.size(); ++p) push(p);
    }

    // Returns false when the pairs ran out before `tokens` ids existed. `tick` is called now and then.
    template <class Tick>
    bool run(size_t tokens, int64_t min_count, Tick tick) {
        while (strings_.size() < tokens) {
            if (heap_.empty()) return false;
            Entry top = heap_.top();
            heap_.pop();
            uint32_t p = find(top.key);
            if (pairs_[p].count != top.count) {
                if (pairs_[p].count > 0) push(p);
                continue;
            }
            if (top.count < min_count) return false;
            merge(p);
            if (merges_.size() % 512 == 0) tick(strings_.size());
        }
        return true;
    }

    const std::vector<Merge>& merges() const { return merges_; }
    size_t tokens() const { return strings_.size(); }

  private:
    struct Pair { uint64_t key; int64_t count; uint32_t rank; bool grown; std::vector<uint32_t> words; };
    static constexpr uint32_t kNoRank = ~0u;
    struct Entry {
        int64_t count;
        uint64_t key;
        bool operator<(const Entry& o) const { return count != o.count ? count < o.count : key > o.key; }
    };

    static uint64_t mix(uint64_t key) {
        key *= 0x9E3779B97F4A7C15ull;
        return key ^ key >> 32;
    }

    uint32_t find(uint64_t key) const {
        size_t i = mix(key) & (pair_slots_.size() - 1);
        while (uint32_t slot = pair_slots_[i]) {
            if (pairs_[slot - 1].key == key) return slot - 1;
            i = (i + 1) & (pair_slots_.size() - 1);
        }
        return ~0u;
    }

    Pair& pair_of(uint32_t left, uint32_t right) {
        uint64_t key = uint64_t(left) << 32 | right;
        size_t i = mix(key) & (pair_slots_.size() - 1);
        while (uint32_t slot = pair_slots_[i]) {
            if (pairs_[slot - 1].key == key) return pairs_[slot - 1];
            i = (i + 1) & (pair_slots_.size() - 1);
        }
        auto merged = ranks_.find(key);
        pairs_.push_back({key, 0, merged == ranks_.end() ? kNoRank : merged->second, false, {}});
        pair_slots_[i] = uint32_t(pairs_.size());
        if (pairs_.size() * 2 > pair_slots_.size()) {
            std::vector<uint32_t> slots(pair_slots_.size() * 2, 0);
            for (size_t p = 0; p < pairs_.size(); ++p) {
                size_t j = mix(pairs_[p].key) & (slots.size() - 1);
                while (slots[j]) j = (j + 1) & (slots.size() - 1);
                slots[j] = uint32_t(p + 1);
            }
            pair_slots_.swap(slots);
        }
        return pairs_.back();
    }

    void push(uint32_t p) {
        if (may_merge(pairs_[p].key)) heap_.push({pairs_[p].count, pairs_[p].key});
    }

    enum Shape : uint8_t { kWhole, kBeginning, kContinuation, kBroken };

    // Whole characters, the beginning of one character, one continuation byte, or something else.
    static Shape shape_of(const std::string& s) {
        if (s.size() == 1 && (uint8_t(s[0]) & 0xC0) == 0x80) return kContinuation;
        for (size_t i = 0; i < s.size();) {
            uint8_t lead = uint8_t(s[i]);
            size_t n = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
            if (n == 0) return kBroken;
            size_t have = 1;
            while (have < n && i + have < s.size() && (uint8_t(s[i + have]) & 0xC0) == 0x80) ++have;
            if (have < n) return i == 0 && have == s.size() ? kBeginning : kBroken;
            i += n;
        }
        return kWhole;
    }

    bool may_merge(uint64_t key) const {
        if (!whole_chars_) return true;
        Shape a = shapes_[key >> 32], b = shapes_[uint32_t(key)];
        return (a == kWhole && b == kWhole) || (a == kBeginning && b == kContinuation);
    }

    void add(uint32_t left, uint32_t right, uint32_t w) {
        Pair& pair = pair_of(left, right);
        pair.count += counts_[w];
        if (pair.words.empty() || pair.words.back() != w) pair.words.push_back(w);
        if (!pair.grown) {
            pair.grown = true;
            grown_.push_back(pair.key);
        }
    }

    void subtract(uint32_t left, uint32_t right, uint32_t w) {
        pairs_[find(uint64_t(left) << 32 | right)].count -= counts_[w];
    }

    void merge(uint32_t p) {
        uint64_t key = pairs_[p].key;
        uint32_t a = uint32_t(key >> 32), b = uint32_t(key);
        auto [there, fresh] = ids_.try_emplace(strings_[a] + strings_[b], uint32_t(strings_.size()));
        if (fresh) {
            strings_.push_back(there->first);
            shapes_.push_back(shape_of(there->first));
        }
        pairs_[p].rank = ranks_[key] = uint32_t(merges_.size());
        merges_.push_back({a, b, there->second});
        join(p, there->second);
        while (true) {
            uint32_t again = ~0u;
            for (uint64_t k : grown_) {
                uint32_t q = find(k);
                if (pairs_[q].count > 0 && pairs_[q].rank != kNoRank &&
                    (again == ~0u || pairs_[q].rank < pairs_[again].rank)) again = q;
            }
            if (again == ~0u) break;
            join(again, merges_[pairs_[again].rank].joined);
        }
        for (uint64_t k : grown_) {
            uint32_t q = find(k);
            pairs_[q].grown = false;
            if (pairs_[q].count > 0) push(q);
        }
        grown_.clear();
    }

    void join(uint32_t p, uint32_t x) {
        uint64_t key = pairs_[p].key;
        std::vector<uint32_t> words;
        words.swap(pairs_[p].words);
        for (uint32_t w : words) merge_in_word(w, uint32_t(key >> 32), uint32_t(key), x);
        // Merging left to right leaves no a b side by side.
        pairs_[p].count = 0;
    }

    void merge_in_word(uint32_t w, uint32_t a, uint32_t b, uint32_t x) {
        uint32_t* s = symbols_.data() + offsets_[w];
        uint32_t n = sizes_[w], out = 0;
        for (uint32_t i = 0; i < n;) {
            if (i + 1 >= n || s[i] != a || s[i + 1] != b) { s[out++] = s[i++]; continue; }
            // The place before is already written: s[out - 1], whose old right neighbour was a (or it is x itself and
            // its old last symbol was b).
            if (out > 0) {
                if (after_match_ == i) subtract(b, a, w);
                else subtract(s[out - 1], a, w);
                add(s[out - 1], x, w);
            }
            bool match_follows = i + 3 < n && s[i + 2] == a && s[i + 3] == b;
            if (i + 2 < n && !match_follows) {
                subtract(b, s[i + 2], w);
                add(x, s[i + 2], w);
            }
            s[out++] = x;
            i += 2;
            after_match_ = i;
        }
        after_match_ = ~0u;
        sizes_[w] = out;
    }

    const int64_t* counts_;
    std::vector<Merge> merges_;
    bool whole_chars_;
    std::vector<std::string> strings_;
    std::vector<Shape> shapes_;
    std::unordered_map<std::string, uint32_t> ids_;
    std::unordered_map<uint64_t, uint32_t> ranks_;
    std::vector<uint32_t> symbols_;
    std::vector<uint64_t> offsets_;
    std::vector<uint32_t> sizes_;
    std::vector<Pair> pairs_;
    std::vector<uint32_t> pair_slots_;
    std::priority_queue<Entry> heap_;
    std::vector<uint64_t> grown_;
    uint32_t after_match_ = ~0u;
};

}  // namespace kotok
