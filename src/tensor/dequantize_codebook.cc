// tensor/dequantize_codebook.cc - IQ1, IQ2 and IQ3. A block is 256 values: 32 vectors of 8 (IQ1,
// IQ2) or 64 of 4 (IQ3). Called by dequantize.cc; any thread.
//
// Source: docs/formats/quants.md. All products are exact in float32.
#include "tensor/dequantize_codebook.h"

#include <bit>
#include <cstddef>

#include "tensor/codebooks.h"
#include "tensor/half.h"

namespace maru::tensor {
namespace {

// Seven stored signs; the eighth makes their number even.
uint8_t even_signs(uint32_t seven) {
  const uint32_t bits = seven & 127;
  return static_cast<uint8_t>(bits | (std::popcount(bits) & 1u) << 7);
}

float sign_of(uint8_t signs, size_t i) { return (signs >> i & 1) != 0 ? -1.0f : 1.0f; }

void put_8(float scale, uint16_t vector, uint8_t signs, float* y) {
  for (size_t i = 0; i < 8; ++i)
    y[i] = scale * kIq2Values[vector >> (2 * i) & 3] * sign_of(signs, i);
}

void put_4(float scale, const std::array<float, 8>& values, uint16_t vector, uint8_t signs,
           float* y) {
  for (size_t i = 0; i < 4; ++i) y[i] = scale * values[vector >> (4 * i) & 7] * sign_of(signs, i);
}

void put_ternary(float scale, uint16_t vector, bool down, float* y) {
  const float shift = down ? -0.125f : 0.125f;
  for (size_t i = 0; i < 8; ++i) y[i] = scale * (kIq1Values[vector >> (2 * i) & 3] + shift);
}

// Nibble i of an array.
uint32_t nibble(const uint8_t* bytes, size_t i) { return bytes[i / 2] >> (4 * (i % 2)) & 15u; }

float half_steps(float d, uint32_t scale, float unit) {
  return d * (0.5f + static_cast<float>(scale)) * unit;
}

}  // namespace

// d; per 32 values 4 codes and a word of 4 x 7 signs and a 4-bit scale.
void iq2_xxs_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t g = 0; g < 32; ++g) {
    const uint8_t* part = b + 2 + g / 4 * 8;
    const auto word = load<uint32_t>(part + 4);
    put_8(half_steps(d, word >> 28, 0.25f), kIq2XxsGrid[part[g % 4]],
          even_signs(word >> (7 * (g % 4))), y + 8 * g);
  }
}

// d; 32 words of a 9-bit code and 7 signs; 16 4-bit scales.
void iq2_xs_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t g = 0; g < 32; ++g) {
    const auto word = load<uint16_t>(b + 2 + 2 * g);
    put_8(half_steps(d, nibble(b + 66, g / 2), 0.25f), kIq2XsGrid[word & 511],
          even_signs(word >> 9), y + 8 * g);
  }
}

// d; 32 codes; 32 sign bytes; 2 upper bits of each code; 16 4-bit scales.
void iq2_s_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t g = 0; g < 32; ++g) {
    const size_t high = b[66 + g / 4] >> (2 * (g % 4)) & 3u;
    put_8(half_steps(d, nibble(b + 74, g / 2), 0.25f), kIq2SGrid[b[2 + g] | high << 8], b[34 + g],
          y + 8 * g);
  }
}

// d; 64 codes; per 32 values a word of 4 x 7 signs and a 4-bit scale.
void iq3_xxs_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t g = 0; g < 64; ++g) {
    const auto word = load<uint32_t>(b + 66 + g / 8 * 4);
    const uint8_t signs = even_signs(word >> (7 * (g / 2 % 4)));
    put_4(half_steps(d, word >> 28, 0.5f), kIq3XxsValues, kIq3XxsGrid[b[2 + g]],
          static_cast<uint8_t>(signs >> (4 * (g % 2))), y + 4 * g);
  }
}

// d; 64 codes; 1 upper bit of each; 32 sign bytes; 8 4-bit scales.
void iq3_s_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t g = 0; g < 64; ++g) {
    const size_t high = b[66 + g / 8] >> (g % 8) & 1u;
    const float scale = d * static_cast<float>(1 + 2 * nibble(b + 106, g / 8));
    put_4(scale, kIq3SValues, kIq3SGrid[b[2 + g] | high << 8],
          static_cast<uint8_t>(b[74 + g / 2] >> (4 * (g % 2))), y + 4 * g);
  }
}

// d; 32 codes; per 32 values a word of 4 x 3 upper bits, a 3-bit scale and the side of the shift.
void iq1_s_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t g = 0; g < 32; ++g) {
    const auto word = load<uint16_t>(b + 34 + g / 4 * 2);
    const size_t high = word >> (3 * (g % 4)) & 7u;
    const float scale = d * static_cast<float>(2 * (word >> 12 & 7) + 1);
    put_ternary(scale, kIq1Grid[b[2 + g] | high << 8], (word & 0x8000) != 0, y + 8 * g);
  }
}

// 32 codes; per code a nibble of 3 upper bits and the side of the shift; 4 words of 4 x 3-bit
// scales, whose upper nibbles together are d.
void iq1_m_block(const uint8_t* b, float* y) {
  uint16_t d_bits = 0;
  for (size_t i = 0; i < 4; ++i) {
    d_bits |= static_cast<uint16_t>((load<uint16_t>(b + 48 + 2 * i) >> 12) << (4 * i));
  }
  const float d = f16_to_f32(d_bits);
  for (size_t g = 0; g < 32; ++g) {
    const uint32_t high = nibble(b + 32, g);
    const auto scales = load<uint16_t>(b + 48 + g / 8 * 2);
    const float scale = d * static_cast<float>(2 * (scales >> (3 * (g / 2 % 4)) & 7) + 1);
    put_ternary(scale, kIq1Grid[b[g] | (high & 7u) << 8], (high & 8) != 0, y + 8 * g);
  }
}

}  // namespace maru::tensor
