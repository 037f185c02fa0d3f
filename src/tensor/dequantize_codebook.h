// tensor/dequantize_codebook.h - the types whose codes stand for vectors of 4 or 8 values; for
// dequantize.cc only.
#pragma once
#include <cstdint>

namespace maru::tensor {

// Each turns one block of 256 values into floats.
void iq1_s_block(const uint8_t* b, float* y);
void iq1_m_block(const uint8_t* b, float* y);
void iq2_xxs_block(const uint8_t* b, float* y);
void iq2_xs_block(const uint8_t* b, float* y);
void iq2_s_block(const uint8_t* b, float* y);
void iq3_xxs_block(const uint8_t* b, float* y);
void iq3_s_block(const uint8_t* b, float* y);

}  // namespace maru::tensor
