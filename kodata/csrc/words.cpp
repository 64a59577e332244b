#include "words.hpp"

#include <queue>
#include <stdexcept>

namespace kodata {

Words::Words(const std::vector<Chars>& words, const Chars& skipped) : symbol_of_(0x10000) {
    for (u32 c : skipped)
        if (c < 0x10000) symbol_of_[c] = SKIP;
    std::size_t nodes = 1;
    for (const Chars& word : words) {
        if (word.empty()) throw std::invalid_argument("an empty word");
        nodes += word.size();
        for (u32 c : word) {
            if (c >= 0x10000) throw std::invalid_argument("words must be of the basic plane");
            if (symbol_of_[c] == SKIP) throw std::invalid_argument("a word with a skipped character");
            if (!symbol_of_[c]) symbol_of_[c] = static_cast<u16>(symbols_++);
        }
    }
    if (symbols_ >= SKIP || nodes * symbols_ > (1u << 26)) throw std::invalid_argument("too many words");
    next_.assign(nodes * symbols_, 0);
    found_.assign(nodes, 0);
    also_.assign(nodes, 0);
    std::vector<u32> shorter(nodes);
    u32 states = 1;
    for (const Chars& word : words) {
        u32 state = 0;
        for (u32 c : word) {
            u32& to = next_[state * symbols_ + symbol_of_[c]];
            if (!to) to = states++;
            state = to;
        }
        lengths_.push_back(static_cast<u32>(word.size()));
        if (found_[state]) throw std::invalid_argument("a word twice");
        found_[state] = static_cast<u32>(lengths_.size());
    }
    std::queue<u32> todo;
    for (std::size_t s = 1; s < symbols_; ++s)
        if (next_[s]) todo.push(next_[s]);
    ends_.assign(nodes, 0);
    while (!todo.empty()) {
        const u32 state = todo.front();
        todo.pop();
        const u32 back = shorter[state];
        also_[state] = found_[back] ? back : also_[back];
        ends_[state] = found_[state] || also_[state];
        for (std::size_t s = 1; s < symbols_; ++s) {
            u32& to = next_[state * symbols_ + s];
            const u32 fallback = next_[back * symbols_ + s];
            if (to) {
                shorter[to] = fallback;
                todo.push(to);
            } else {
                to = fallback;
            }
        }
    }
}

template <class T>
std::size_t Words::count_as(const T* text, std::size_t n, std::vector<u32>& counts) const {
    static thread_local std::vector<u32> free_from;  // of each word: where its next occurrence may begin
    counts.assign(lengths_.size(), 0);
    free_from.assign(lengths_.size(), 0);
    std::size_t sum = 0, row = 0;  // row: state * symbols_
    u32 place = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const u32 c = text[i];
        const u16 symbol = c < 0x10000 ? symbol_of_[c] : u16{0};
        // no branch on what the character is: skipped ones leave everything as it stands
        const bool taken = symbol != SKIP;
        const u32 state = next_[row + (taken ? symbol : 0)];
        row = taken ? state * symbols_ : row;
        place += taken;
        if (!(ends_[state] & taken)) continue;
        for (u32 at = found_[state] ? state : also_[state]; at; at = also_[at]) {
            const u32 word = found_[at] - 1;
            if (place < free_from[word] + lengths_[word]) continue;
            free_from[word] = place;
            ++counts[word];
            ++sum;
        }
    }
    return sum;
}

std::size_t Words::count(const Text& text, std::vector<u32>& counts) const {
    if (text.kind == 1) return count_as(static_cast<const std::uint8_t*>(text.data), text.length, counts);
    if (text.kind == 2) return count_as(static_cast<const std::uint16_t*>(text.data), text.length, counts);
    return count_as(static_cast<const std::uint32_t*>(text.data), text.length, counts);
}

}  // namespace kodata
