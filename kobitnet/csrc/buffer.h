// Aligned memory that is owned once, and scratch memory of the calling thread.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace kobitnet {

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
        const std::size_t bytes = ((std::size_t)n * sizeof(T) + 127) / 64 * 64;
        data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
        if (!data_) throw std::bad_alloc();
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
