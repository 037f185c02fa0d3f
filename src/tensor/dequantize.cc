// tensor/dequantize.cc - the plain, legacy, K and 4-bit float types; the types with a codebook of
// vectors are in dequantize_codebook.cc.
//
// One function per type turns one block into floats. Products of a scale and a quant are exact in
// float32, so every way to write them gives the same bits. Offsets into a block are given where
// they are read; docs/formats/quants.md draws the blocks.
#include "tensor/dequantize.h"

#include <cstdint>

#include "base/check.h"
#include "tensor/blocks.h"
#include "tensor/dequantize_codebook.h"
#include "tensor/half.h"

namespace maru::tensor {
namespace {

void f32_block(const uint8_t* b, float* y) { y[0] = load<float>(b); }
void f16_block(const uint8_t* b, float* y) { y[0] = f16_to_f32(load<uint16_t>(b)); }
void bf16_block(const uint8_t* b, float* y) { y[0] = bf16_to_f32(load<uint16_t>(b)); }

// Low nibbles are values 0-15 of the block, high nibbles 16-31.
void q4_0_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>((b[2 + j] & 15) - 8);
    y[j + 16] = d * static_cast<float>((b[2 + j] >> 4) - 8);
  }
}

void q4_1_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  const float m = f16_to_f32(load<uint16_t>(b + 2));
  for (size_t j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(b[4 + j] & 15) + m;
    y[j + 16] = d * static_cast<float>(b[4 + j] >> 4) + m;
  }
}

// Bit j of the 32-bit word is the fifth bit of value j.
int five_bits(const uint8_t* nibbles, uint32_t high, size_t j) {
  const int low = j < 16 ? nibbles[j] & 15 : nibbles[j - 16] >> 4;
  return low | static_cast<int>(high >> j & 1) << 4;
}

void q5_0_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  const uint32_t high = load<uint32_t>(b + 2);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(five_bits(b + 6, high, j) - 16);
}

void q5_1_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  const float m = f16_to_f32(load<uint16_t>(b + 2));
  const uint32_t high = load<uint32_t>(b + 4);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(five_bits(b + 8, high, j)) + m;
}

void q8_0_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(static_cast<int8_t>(b[2 + j]));
}

// 16 sub-blocks of 16; each scale byte holds a 4-bit scale and a 4-bit minimum.
void q2_k_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b + 80));
  const float dmin = f16_to_f32(load<uint16_t>(b + 82));
  for (size_t i = 0; i < 256; ++i) {
    const uint8_t scale = b[i / 16];
    const int q = b[16 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
    y[i] = d * static_cast<float>(scale & 15) * static_cast<float>(q) -
           dmin * static_cast<float>(scale >> 4);
  }
}

void q3_k_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b + 108));
  for (size_t i = 0; i < 256; ++i) {
    const int scale = scale_q3k(b + 96, i / 16);
    const int low = b[32 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
    const int high = b[i % 32] >> (i / 32) & 1;
    y[i] = d * static_cast<float>(scale) * static_cast<float>(low + 4 * high - 4);
  }
}

// 8 sub-blocks of 32; sub-blocks 2p and 2p + 1 share 32 bytes, low and high nibbles.
void q4_k_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  const float dmin = f16_to_f32(load<uint16_t>(b + 2));
  for (size_t i = 0; i < 256; ++i) {
    const ScaleMin s = scale_min_k4(b + 4, i / 32);
    const int q = b[16 + i / 64 * 32 + i % 32] >> (4 * (i / 32 % 2)) & 15;
    y[i] =
        d * static_cast<float>(s.scale) * static_cast<float>(q) - dmin * static_cast<float>(s.min);
  }
}

// As Q4_K; bit j of the 32 bytes at 16 is the fifth bit in sub-block j.
void q5_k_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  const float dmin = f16_to_f32(load<uint16_t>(b + 2));
  for (size_t i = 0; i < 256; ++i) {
    const ScaleMin s = scale_min_k4(b + 4, i / 32);
    const int low = b[48 + i / 64 * 32 + i % 32] >> (4 * (i / 32 % 2)) & 15;
    const int q = low | (b[16 + i % 32] >> (i / 32) & 1) << 4;
    y[i] =
        d * static_cast<float>(s.scale) * static_cast<float>(q) - dmin * static_cast<float>(s.min);
  }
}

// Each half of 128 values has 64 bytes of nibbles and 32 bytes with two upper bits of four values.
void q6_k_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b + 208));
  for (size_t i = 0; i < 256; ++i) {
    const size_t half = i / 128, quarter = i % 128 / 32;
    const int low = b[half * 64 + i % 64] >> (4 * (quarter / 2)) & 15;
    const int high = b[128 + half * 32 + i % 32] >> (2 * quarter) & 3;
    const int scale = static_cast<int8_t>(b[192 + i / 16]);
    y[i] = d * static_cast<float>(scale) * static_cast<float>((low | high << 4) - 32);
  }
}

void iq4_nl_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  for (size_t j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(kIq4Values[b[2 + j] & 15]);
    y[j + 16] = d * static_cast<float>(kIq4Values[b[2 + j] >> 4]);
  }
}

void iq4_xs_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b));
  const uint16_t high = load<uint16_t>(b + 2);
  for (size_t i = 0; i < 256; ++i) {
    const float scale = d * static_cast<float>(scale_iq4xs(high, b + 4, i / 32));
    const int code = b[8 + i / 32 * 16 + i % 16] >> (4 * (i / 16 % 2)) & 15;
    y[i] = scale * static_cast<float>(kIq4Values[static_cast<size_t>(code)]);
  }
}

void mxfp4_block(const uint8_t* b, float* y) {
  const float d = 0.5f * e8m0_to_f32(b[0]);
  for (size_t j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(kE2m1Doubled[b[1 + j] & 15]);
    y[j + 16] = d * static_cast<float>(kE2m1Doubled[b[1 + j] >> 4]);
  }
}

// Four sub-blocks of 16, each with an unsigned E4M3 scale; its 8 bytes hold values 0-7 in the low
// and 8-15 in the high nibbles.
void nvfp4_block(const uint8_t* b, float* y) {
  for (size_t i = 0; i < 64; ++i) {
    const float d = 0.5f * ue4m3_to_f32(b[i / 16]);
    const int code = b[4 + i / 16 * 8 + i % 8] >> (4 * (i / 8 % 2)) & 15;
    y[i] = d * static_cast<float>(kE2m1Doubled[static_cast<size_t>(code)]);
  }
}

// Base-3 digits: a byte holds five of them as a fraction of 256, read by multiplying out.
float ternary(uint8_t packed, size_t digit) {
  constexpr std::array<uint8_t, 5> kPowers = {1, 3, 9, 27, 81};
  const auto rest = static_cast<uint8_t>(packed * kPowers[digit]);
  return static_cast<float>((rest * 3 >> 8) - 1);
}

void tq1_0_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b + 52));
  for (size_t i = 0; i < 160; ++i) y[i] = d * ternary(b[i % 32], i / 32);
  for (size_t i = 0; i < 80; ++i) y[160 + i] = d * ternary(b[32 + i % 16], i / 16);
  for (size_t i = 0; i < 16; ++i) y[240 + i] = d * ternary(b[48 + i % 4], i / 4);
}

void tq2_0_block(const uint8_t* b, float* y) {
  const float d = f16_to_f32(load<uint16_t>(b + 64));
  for (size_t i = 0; i < 256; ++i) {
    const int q = b[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
    y[i] = d * static_cast<float>(q - 1);
  }
}

using BlockFunction = void (*)(const uint8_t* block, float* y);

// nullptr for types without weights.
BlockFunction block_function(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return f32_block;
    case DType::kF16:
      return f16_block;
    case DType::kBF16:
      return bf16_block;
    case DType::kQ4_0:
      return q4_0_block;
    case DType::kQ4_1:
      return q4_1_block;
    case DType::kQ5_0:
      return q5_0_block;
    case DType::kQ5_1:
      return q5_1_block;
    case DType::kQ8_0:
      return q8_0_block;
    case DType::kQ2_K:
      return q2_k_block;
    case DType::kQ3_K:
      return q3_k_block;
    case DType::kQ4_K:
      return q4_k_block;
    case DType::kQ5_K:
      return q5_k_block;
    case DType::kQ6_K:
      return q6_k_block;
    case DType::kIQ1_S:
      return iq1_s_block;
    case DType::kIQ1_M:
      return iq1_m_block;
    case DType::kIQ2_XXS:
      return iq2_xxs_block;
    case DType::kIQ2_XS:
      return iq2_xs_block;
    case DType::kIQ2_S:
      return iq2_s_block;
    case DType::kIQ3_XXS:
      return iq3_xxs_block;
    case DType::kIQ3_S:
      return iq3_s_block;
    case DType::kIQ4_NL:
      return iq4_nl_block;
    case DType::kIQ4_XS:
      return iq4_xs_block;
    case DType::kMXFP4:
      return mxfp4_block;
    case DType::kNVFP4:
      return nvfp4_block;
    case DType::kTQ1_0:
      return tq1_0_block;
    case DType::kTQ2_0:
      return tq2_0_block;
    default:
      return nullptr;
  }
}

}  // namespace

bool can_dequantize(DType dtype) { return block_function(dtype) != nullptr; }

void dequantize(DType dtype, const std::byte* blocks, size_t n_elements, float* out) {
  const DTypeInfo& info = dtype_info(dtype);
  const BlockFunction function = block_function(dtype);
  CHECK(function != nullptr && n_elements % info.block_elements == 0);
  const auto* block = reinterpret_cast<const uint8_t*>(blocks);
  for (size_t i = 0; i < n_elements; i += info.block_elements, block += info.block_bytes) {
    function(block, out + i);
  }
}

}  // namespace maru::tensor
