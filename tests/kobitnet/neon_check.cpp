// NEON kernels against the plain ones: built for arm64 and run (under emulation elsewhere) by test_kernels.py.
#include <cmath>
#include <cstdio>
#include <vector>
#include "kernels.h"

using namespace kobitnet;

static unsigned state = 1;
static int random_to(int n) { state = state * 1664525u + 1013904223u; return (int)((state >> 16) % (unsigned)n); }
static int bad = 0;
static void expect(bool ok, const char* what) { if (!ok) { bad++; std::printf("wrong: %s\n", what); } }

int main() {
    const Kernels *neon = kernels_neon(), *plain = kernels_plain();
    for (int tiles : {1, 3, 17, 40}) for (int kind = 0; kind < 3; kind++) {          // random, all +1 * 127, all -1 * -128
        std::vector<uint8_t> pairs((size_t)tiles * 128);
        for (uint8_t& b : pairs) {
            b = 0;
            for (int i = 0; i < 4; i++) b |= (uint8_t)((kind == 0 ? random_to(3) : kind == 1 ? 2 : 0) << (2 * i));
        }
        auto activations = [&](size_t n) {
            std::vector<int8_t> x(n);
            for (int8_t& v : x) v = (int8_t)(kind == 0 ? random_to(256) - 128 : kind == 1 ? 127 : -128);
            return x;
        };
        std::vector<int32_t> a(32), b(32);
        const std::vector<int8_t> x = activations((size_t)tiles * 16);
        neon->gemv(pairs.data(), tiles, x.data(), a.data());
        plain->gemv(pairs.data(), tiles, x.data(), b.data());
        expect(a == b, "gemv");
        std::vector<uint8_t> codes((size_t)tiles * 512), same((size_t)tiles * 512);
        neon->unpack(pairs.data(), tiles, codes.data());
        plain->unpack(pairs.data(), tiles, same.data());
        expect(codes == same, "unpack");
        for (int cols = neon->col_step; cols <= neon->max_cols; cols += neon->col_step) {
            const std::vector<int8_t> xp = activations((size_t)(tiles * 16 * cols));
            std::vector<int32_t> y((size_t)cols * 32, 7), z((size_t)cols * 32, 7);
            neon->gemm(codes.data(), tiles * 4, xp.data(), cols, y.data());
            plain->gemm(codes.data(), tiles * 4, xp.data(), cols, z.data());
            expect(y == z, "gemm");
        }
    }
    const int n = 203;
    std::vector<float> x(n), ones(n, 1.0f), out(n);
    for (float& v : x) v = (float)(random_to(2001) - 1000) / 317.0f;
    std::vector<int8_t> q(208), r(208);
    float s = 0, t = 0;
    int32_t u = 0, v = 0;
    neon->quantize(x.data(), n, 208, q.data(), &s, &u);
    plain->quantize(x.data(), n, 208, r.data(), &t, &v);
    expect(q == r && s == t && u == v, "quantize");
    double total = 0;
    for (float e : x) total += std::exp((double)e);
    out = x;
    neon->softmax(out.data(), n, 1.0f);
    for (int i = 0; i < n; i++) expect(std::fabs(out[i] - std::exp((double)x[i]) / total) < 1e-7, "softmax");
    expect(std::fabs(neon->log_sum_exp(x.data(), n) - std::log(total)) < 1e-6, "log_sum_exp");
    out = x;
    neon->activate(out.data(), ones.data(), n, Activation::silu);
    for (int i = 0; i < n; i++) expect(std::fabs(out[i] - x[i] / (1 + std::exp(-(double)x[i]))) < 1e-6, "silu");
    std::printf("wrong %d\n", bad);
    return bad != 0;
}
