#include "ngram.hpp"

#include <cmath>

#include "shingle.hpp"

namespace kodata {

static constexpr std::uint64_t EMPTY = ~0ull;

KeyTable::KeyTable(const std::uint64_t* keys, const float* values, std::size_t count) {
    std::size_t size = 2;
    while (size < 2 * count) size *= 2;
    slots_.assign(size, {EMPTY, 0.0f});
    mask_ = size - 1;
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t at = mix(keys[i]) & mask_;
        while (slots_[at].key != EMPTY) at = (at + 1) & mask_;
        slots_[at] = {keys[i], values[i]};
    }
}

float KeyTable::find(std::uint64_t key, float otherwise) const {
    for (std::size_t at = mix(key) & mask_;; at = (at + 1) & mask_) {
        if (slots_[at].key == key) return slots_[at].value;
        if (slots_[at].key == EMPTY) return otherwise;
    }
}

void NgramTable::add(KeyTable&& grams, KeyTable&& contexts) {
    grams_.push_back(std::move(grams));
    contexts_.push_back(std::move(contexts));
}

void NgramTable::costs(const std::uint16_t* numbers, std::size_t count, double log2_size, double unknown_bits,
                       double* out) const {
    const std::size_t n = order();
    const std::uint64_t all = (1ull << (bits_ * n)) - 1;
    const double uniform = std::exp2(-log2_size);
    std::uint64_t key = 0;
    for (std::size_t i = 0; i < count; ++i) {
        key = ((key << bits_) | numbers[i]) & all;
        if (i + 1 < n) continue;
        double p = uniform;
        for (std::size_t k = 1; k <= n; ++k) {
            const std::uint64_t own = key & ((1ull << (bits_ * k)) - 1);
            const float gamma = contexts_[k - 1].find(own >> bits_, -1.0f);
            if (gamma < 0.0f) continue;  // a context that was not kept has no n-gram either
            p = grams_[k - 1].find(own, 0.0f) + static_cast<double>(gamma) * p;
        }
        out[i + 1 - n] = -std::log2(p) + (numbers[i] == 1 ? unknown_bits : 0.0);
    }
}

}  // namespace kodata
