// Aligned memory that is owned once. Large pieces ask for huge pages: a walk over them then misses no page table entry,
// and the processor's prefetchers, which stop at the end of a page, run on.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace kobitnet {

constexpr std::size_t kHugePage = std::size_t(1) << 21;

template <typename T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(int64_t n) { resize(n); }
    ~Buffer() { std::free(data_); }
    Buffer(Buffer&& o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}
    Buffer& operator=(Buffer&& o) noexcept {
        std::swap(data_, o.data_);
        std::swap(size_, o.size_);
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    void resize(int64_t n) {                                         // contents are lost
        if (n < 0 || (uint64_t)n > (uint64_t(1) << 46) / sizeof(T)) throw std::bad_alloc();
        std::free(data_);
        data_ = nullptr;
        size_ = 0;
        std::size_t align = 64;
#if defined(MADV_HUGEPAGE)
        if ((std::size_t)n * sizeof(T) >= 2 * kHugePage) align = kHugePage;
#endif
        const std::size_t bytes = ((std::size_t)n * sizeof(T) + 64 + align - 1) / align * align;
        data_ = static_cast<T*>(std::aligned_alloc(align, bytes));
        if (!data_) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        if (align == kHugePage) madvise(data_, bytes, MADV_HUGEPAGE);   // a wish: what it says does not matter
#endif
        size_ = n;
    }
    void at_least(int64_t n) { if (size_ < n) resize(n); }
    T* data() { return data_; }
    const T* data() const { return data_; }
    int64_t size() const { return size_; }
    T& operator[](int64_t i) { return data_[i]; }
    const T& operator[](int64_t i) const { return data_[i]; }

private:
    T* data_ = nullptr;
    int64_t size_ = 0;
};

}  // namespace kobitnet
