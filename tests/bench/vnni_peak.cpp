// The most int8 products a thread of this CPU can make: vpdpbusd on registers alone, 64-byte vectors, 24 independent sums.
// Printed: GOP/s (a multiplication and an addition count two) of 1 and of 2 threads. Built and run by kernels.py.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#define DP(i) asm volatile("vpdpbusd %%zmm30, %%zmm31, %%zmm" #i ::: "xmm" #i);

static void products(long rounds) {
    for (long k = 0; k < rounds; k++) {
        DP(0) DP(1) DP(2) DP(3) DP(4) DP(5) DP(6) DP(7) DP(8) DP(9) DP(10) DP(11)
        DP(12) DP(13) DP(14) DP(15) DP(16) DP(17) DP(18) DP(19) DP(20) DP(21) DP(22) DP(23)
    }
}

int main() {
    const long rounds = 5000000;
    for (int threads = 1; threads <= 2; threads++) {
        double best = 1e9;
        for (int turn = 0; turn < 5; turn++) {
            const auto start = std::chrono::steady_clock::now();
            std::vector<std::thread> others;
            for (int i = 1; i < threads; i++) others.emplace_back(products, rounds);
            products(rounds);
            for (std::thread& t : others) t.join();
            best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        }
        std::printf("%.0f\n", threads * rounds * 24 * 128.0 / best / 1e9);
    }
}
