#include "threads.h"
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace kobitnet {
namespace {

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// A job is cut into one slice a thread, so that each walks over memory of its own in order, as prefetchers like it; who is
// done takes from the slices of others. A slice is one word: generation in the high bits, next index in the low 40. A range
// is taken by compare and swap, so a worker that wakes late finds closed or newer words and leaves: the caller waits for
// work in progress only.
constexpr int kIndexBits = 40;
constexpr uint64_t kIndexMask = (uint64_t(1) << kIndexBits) - 1;
constexpr int kSpin = 2000;

class Pool {
public:
    // With fewer threads than asked for when the system gives no more: any number computes the same bits.
    explicit Pool(int threads) : slices_((size_t)threads) {
        workers_.reserve((size_t)threads - 1);
        try {
            for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
        } catch (const std::system_error&) {
        } catch (const std::bad_alloc&) {
        }
    }
    ~Pool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_.store(true);
            ticket_.fetch_add(1);
        }
        wake_.notify_all();
        for (std::thread& t : workers_) t.join();
    }
    int size() const { return (int)workers_.size() + 1; }

    void run(int64_t n, int64_t grain, const Range& body) {
        std::lock_guard<std::mutex> one_at_a_time(run_mutex_);
        body_.store(&body, std::memory_order_relaxed);
        n_.store(n, std::memory_order_relaxed);
        grain_.store(grain, std::memory_order_relaxed);
        done_.store(0, std::memory_order_relaxed);
        failure_ = nullptr;
        failed_.store(false, std::memory_order_relaxed);
        generation_ = (generation_ + 1) & 0xFFFFFF;
        for (int64_t k = 0; k < slices(); k++)
            slices_[(size_t)k].word.store((generation_ << kIndexBits) | (uint64_t)first(k, n), std::memory_order_seq_cst);
        ticket_.fetch_add(1);
        if (sleepers_.load() > 0) {
            { std::lock_guard<std::mutex> lock(mutex_); }
            wake_.notify_all();
        }
        take_all(0);
        for (int spin = 0; done_.load(std::memory_order_acquire) < n; spin++) {
            if (spin < kSpin) relax();
            else if (spin < 2 * kSpin) std::this_thread::yield();
            else std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
        for (Slice& slice : slices_)
            slice.word.store((generation_ << kIndexBits) | kIndexMask, std::memory_order_seq_cst);   // closed
        if (failed_.load()) std::rethrow_exception(failure_);
    }

private:
    struct alignas(64) Slice { std::atomic<uint64_t> word{kIndexMask}; };

    int64_t slices() const { return (int64_t)slices_.size(); }
    int64_t first(int64_t k, int64_t n) const { return k * (n / slices()) + (k < n % slices() ? k : n % slices()); }

    void take_all(int64_t own) {
        for (int64_t i = 0; i < slices(); i++) take((own + i) % slices());
    }

    void take(int64_t k) {
        std::atomic<uint64_t>& next = slices_[(size_t)k].word;
        uint64_t word = next.load(std::memory_order_acquire);
        for (;;) {
            const int64_t begin = (int64_t)(word & kIndexMask);
            if ((word & kIndexMask) == kIndexMask) return;
            const int64_t last = first(k + 1, n_.load(std::memory_order_relaxed));
            const int64_t grain = grain_.load(std::memory_order_relaxed);
            if (begin >= last) return;
            const int64_t end = begin + grain < last ? begin + grain : last;
            if (!next.compare_exchange_weak(word, (word & ~kIndexMask) | (uint64_t)end)) continue;
            try {
                (*body_.load(std::memory_order_relaxed))(begin, end);
            } catch (...) {
                if (!failed_.exchange(true)) failure_ = std::current_exception();
            }
            done_.fetch_add(end - begin, std::memory_order_release);
            word = next.load(std::memory_order_acquire);
        }
    }

    void work(int own) {
        uint64_t seen = 0;
        for (;;) {
            int spin = 0;
            while (ticket_.load() == seen) {
                if (++spin < kSpin) { relax(); continue; }
                std::unique_lock<std::mutex> lock(mutex_);
                sleepers_.fetch_add(1);
                wake_.wait(lock, [&] { return ticket_.load() != seen; });
                sleepers_.fetch_sub(1);
            }
            seen = ticket_.load();
            if (stop_.load()) return;
            take_all(own);
        }
    }

    uint64_t generation_ = 0;
    std::vector<Slice> slices_;
    std::atomic<const Range*> body_{nullptr};
    std::atomic<int64_t> n_{0}, grain_{1}, done_{0};
    std::atomic<uint64_t> ticket_{0};
    std::atomic<int> sleepers_{0};
    std::atomic<bool> stop_{false}, failed_{false};
    std::exception_ptr failure_;
    std::mutex mutex_, run_mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> workers_;
};

std::atomic<int> wanted{1};
std::shared_ptr<Pool> pool;                                           // a running job keeps its own reference
std::mutex pool_mutex;

std::shared_ptr<Pool> get_pool() {
    std::lock_guard<std::mutex> lock(pool_mutex);
    if (!pool) {
#if defined(__unix__) || defined(__APPLE__)
        // A forked child has none of the threads: it forgets the pool (leaked on purpose) and makes its own.
        static const int registered = pthread_atfork(nullptr, nullptr, [] {
            new (&pool) std::shared_ptr<Pool>;
            new (&pool_mutex) std::mutex;
        });
        (void)registered;
#endif
        const int asked = wanted;
        pool = std::make_shared<Pool>(asked);
        if (pool->size() < asked) {
            static std::atomic<bool> told{false};
            if (!told.exchange(true))
                std::fprintf(stderr, "스레드를 %d개만 만들 수 있습니다 (only %d of %d threads could be started)\n",
                             pool->size(), pool->size(), asked);
            wanted = pool->size();
        }
    }
    return pool;
}

}  // namespace

int thread_count() { return wanted; }

void set_thread_count(int n) {
    if (n < 1 || n > 1024) throw std::invalid_argument("threads must be between 1 and 1024");
    std::lock_guard<std::mutex> lock(pool_mutex);
    if (n == wanted) return;
    wanted = n;
    pool.reset();
}

void parallel_for(int64_t n, int64_t grain, const Range& body) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    if (wanted == 1 || n <= grain) {
        for (int64_t b = 0; b < n; b += grain) body(b, b + grain < n ? b + grain : n);
        return;
    }
    get_pool()->run(n, grain, body);
}

}  // namespace kobitnet
