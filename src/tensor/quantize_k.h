// tensor/quantize_k.h - the encoders of the types with blocks of 256 values; for quantize.cc only.
//
// Each turns 256 finite floats into one block.
#pragma once
#include <cstdint>

namespace maru::tensor {

void make_q4_k_block(const float* x, uint8_t* b);
void make_q5_k_block(const float* x, uint8_t* b);
void make_q6_k_block(const float* x, uint8_t* b);

}  // namespace maru::tensor
