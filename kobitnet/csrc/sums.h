// Sums of floats in the order in which torch adds them on one thread.
#pragma once
#include <cstdint>

namespace kobitnet {

float sum_squares(const float* x, int64_t n);
float sum_abs(const float* w, int64_t n);
float sum_abs(const uint16_t* bf16, int64_t n);

}  // namespace kobitnet
