#include "overlap.hpp"

#include <algorithm>

namespace kodata {

u32 OverlapIndex::add(const std::vector<u32>& chars) {
    u32 total = 0;
    if (chars.size() >= n_) {
        ngrams(chars, n_, grams_);
        std::sort(grams_.begin(), grams_.end());
        grams_.erase(std::unique(grams_.begin(), grams_.end()), grams_.end());
        total = static_cast<u32>(grams_.size());
        for (u64 g : grams_) postings_.push_back({g, static_cast<u32>(totals_.size())});
    }
    totals_.push_back(total);
    return total;
}

void OverlapIndex::build() {
    std::sort(postings_.begin(), postings_.end());
    keys_.clear();
    starts_.clear();
    for (std::size_t i = 0; i < postings_.size(); ++i)
        if (i == 0 || postings_[i].first != postings_[i - 1].first) {
            keys_.push_back(postings_[i].first);
            starts_.push_back(static_cast<u32>(i));
        }
    starts_.push_back(static_cast<u32>(postings_.size()));
    std::size_t bits = 1024;
    while (bits < keys_.size() * 16) bits *= 2;
    filter_.assign(bits / 64, 0);
    filter_mask_ = bits - 1;
    for (u64 key : keys_) {
        const u64 h = mix(key) & filter_mask_;
        filter_[h >> 6] |= 1ull << (h & 63);
    }
    found_.assign(totals_.size(), 0);
}

void OverlapIndex::search(u32 document, const std::vector<u32>& chars, std::vector<Overlap>& out) {
    if (chars.size() < n_ || keys_.empty()) return;
    ngrams(chars, n_, grams_);
    seen_.clear();
    for (u64 g : grams_) {
        const u64 h = mix(g) & filter_mask_;
        if (!(filter_[h >> 6] >> (h & 63) & 1)) continue;
        const auto at = std::lower_bound(keys_.begin(), keys_.end(), g);
        if (at != keys_.end() && *at == g) seen_.push_back(static_cast<u32>(at - keys_.begin()));
    }
    if (seen_.empty()) return;
    std::sort(seen_.begin(), seen_.end());
    seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
    std::vector<u32> touched;
    for (u32 key : seen_)
        for (u32 p = starts_[key]; p < starts_[key + 1]; ++p)
            if (found_[postings_[p].second]++ == 0) touched.push_back(postings_[p].second);
    std::sort(touched.begin(), touched.end());
    for (u32 field : touched) {
        out.push_back({document, field, found_[field], totals_[field]});
        found_[field] = 0;
    }
}

}  // namespace kodata
