// Ternary linear layers over int8 activations.
#pragma once
#include <vector>
#include "ternary.h"

namespace kobitnet {

// Activations of m tokens after per-token quantisation: q [m][stride] int8 (padded with zeros to a multiple of 16),
// scale [m] (q = x * scale), sum [m] = sum of q.
struct Quantized {
    int64_t m = 0, cols = 0, stride = 0;
    Buffer<int8_t> q;
    Buffer<float> scale;
    Buffer<int32_t> sum;
    Buffer<int8_t> packed;                                           // gemm order, filled by linear()

    void prepare(int64_t tokens, int64_t columns);
};

struct Linear {
    Ternary w;
    std::vector<float> scale;                                        // [1] or [rows]: y = scale * (t . q) / q_scale + bias
    std::vector<float> bias;                                         // empty or [rows]
};

struct LinearOut {
    const Linear* layer;
    float* y;                                                        // [m][ldy]
    int64_t ldy;
    bool add = false;                                                // to y
};

// y of one or more layers that read the same activations, in one parallel region.
void linear(const LinearOut* outs, int n_outs, Quantized& x);
// The integer part alone: y[m][rows] = t . q, exact.
void linear_int(const Ternary& w, Quantized& x, int32_t* y);

}  // namespace kobitnet
