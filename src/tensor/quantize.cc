// tensor/quantize.cc - the plain types and those with blocks of 32; the K types are in
// quantize_k.cc.
#include "tensor/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

#include "base/check.h"
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantize_k.h"
#include "tensor/scale_search.h"

namespace maru::tensor {
namespace {

constexpr size_t kBlock = 32;

template <class T>
void store(uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

void make_f32(const float* x, uint8_t* b) { store(b, x[0]); }
void make_f16(const float* x, uint8_t* b) { store(b, stored_scale(x[0]).bits); }
void make_bf16(const float* x, uint8_t* b) {
  constexpr uint16_t kInfinity = 0x7F80;
  const uint16_t bits = f32_to_bf16(x[0]);
  // Rounding up the largest values would make an infinity of them.
  store(b, (bits & 0x7FFF) == kInfinity ? static_cast<uint16_t>(bits - 1) : bits);
}

using Codes = std::array<uint8_t, kBlock>;  // from 0 on

// (x + min) / scale, rounded.
Codes codes_of(const float* x, Affine fit, CodeRange range) {
  const float inverse = inverse_of(fit.scale);
  Codes codes;
  for (size_t i = 0; i < kBlock; ++i) {
    const float code = nearest_code((x[i] + fit.min) * inverse, static_cast<float>(range.low),
                                    static_cast<float>(range.high));
    codes[i] = static_cast<uint8_t>(static_cast<int>(code) - range.low);
  }
  return codes;
}

// Low nibbles are values 0-15, high nibbles 16-31.
void write_nibbles(const Codes& codes, uint8_t* to) {
  for (size_t j = 0; j < 16; ++j) {
    to[j] = static_cast<uint8_t>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
  }
}

uint32_t fifth_bits(const Codes& codes) {
  uint32_t bits = 0;
  for (size_t j = 0; j < kBlock; ++j) bits |= static_cast<uint32_t>(codes[j] >> 4) << j;
  return bits;
}

void make_q4_0(const float* x, uint8_t* b) {
  constexpr CodeRange kCodes = {-8, 7};
  const StoredScale d = stored_scale(search_scale({x, kBlock}, kCodes));
  store(b, d.bits);
  write_nibbles(codes_of(x, {d.value, 0}, kCodes), b + 2);
}

void make_q5_0(const float* x, uint8_t* b) {
  constexpr CodeRange kCodes = {-16, 15};
  const StoredScale d = stored_scale(search_scale({x, kBlock}, kCodes));
  const Codes codes = codes_of(x, {d.value, 0}, kCodes);
  store(b, d.bits);
  store(b + 2, fifth_bits(codes));
  write_nibbles(codes, b + 6);
}

// The minimum may have either sign here, and search_affine() wants one: no value moved down by the
// largest is above 0.
void make_q5_1(const float* x, uint8_t* b) {
  constexpr CodeRange kCodes = {0, 31};
  const auto [least, largest] = std::ranges::minmax(std::span(x, kBlock));
  std::array<float, kBlock> moved;
  for (size_t i = 0; i < kBlock; ++i) moved[i] = x[i] - largest;
  const Affine fit = search_affine(moved, kCodes.high);
  const StoredScale d = stored_scale(fit.scale);
  // Where all are nearly the same, the one code stands for the middle.
  const float middle = 0.5f * (least + largest);
  const StoredScale m = stored_scale(d.value == 0 ? middle : largest - fit.min);
  const Codes codes = codes_of(x, {d.value, -m.value}, kCodes);
  store(b, d.bits);
  store(b + 2, m.bits);
  store(b + 4, fifth_bits(codes));
  write_nibbles(codes, b + 8);
}

// 255 codes leave nothing to search for: the largest value gets the last one.
void make_q8_0(const float* x, uint8_t* b) {
  constexpr CodeRange kCodes = {-127, 127};
  const float largest = std::fabs(farthest_from_zero({x, kBlock}));
  const StoredScale d = stored_scale(largest / static_cast<float>(kCodes.high));
  const Codes codes = codes_of(x, {d.value, 0}, kCodes);
  store(b, d.bits);
  for (size_t i = 0; i < kBlock; ++i) b[2 + i] = static_cast<uint8_t>(codes[i] + kCodes.low);
}

// The E2M1 code nearest to x, which is in units of the doubled values (kE2m1Doubled).
uint8_t e2m1_code(float x) {
  constexpr std::array<float, 7> kBorders = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10};
  const float magnitude = std::fabs(x);
  int code = 0;
  for (const float border : kBorders) code += magnitude > border ? 1 : 0;
  return static_cast<uint8_t>(x < 0 ? code + 8 : code);
}

// The shared exponent is that of the largest value less 2, the largest exponent of E2M1 (OCP
// Microscaling 1.0, section 6.3), or one beside it where that leaves less error.
void make_mxfp4(const float* x, uint8_t* b) {
  const float largest = std::fabs(farthest_from_zero({x, kBlock}));
  int exponent = 0;
  if (largest > 0) std::frexp(largest, &exponent);
  const int base = exponent - 1 - 2 + 127;
  float best_error = std::numeric_limits<float>::infinity();
  Codes codes{};
  b[0] = 0;
  for (int e = std::max(base - 1, 0); e <= std::min(base + 1, 254); ++e) {
    const float unit = 0.5f * e8m0_to_f32(static_cast<uint8_t>(e));
    const float inverse = inverse_of(unit);
    Codes tried;
    float error = 0;
    for (size_t i = 0; i < kBlock; ++i) {
      tried[i] = e2m1_code(x[i] * inverse);
      const float off = x[i] - unit * static_cast<float>(kE2m1Doubled[tried[i]]);
      error += off * off;
    }
    if (error < best_error) {
      best_error = error;
      codes = tried;
      b[0] = static_cast<uint8_t>(e);
    }
  }
  write_nibbles(codes, b + 1);
}

using BlockFunction = void (*)(const float* x, uint8_t* block);

// nullptr for types that nothing here makes.
BlockFunction block_function(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return make_f32;
    case DType::kF16:
      return make_f16;
    case DType::kBF16:
      return make_bf16;
    case DType::kQ4_0:
      return make_q4_0;
    case DType::kQ5_0:
      return make_q5_0;
    case DType::kQ5_1:
      return make_q5_1;
    case DType::kQ8_0:
      return make_q8_0;
    case DType::kQ4_K:
      return make_q4_k_block;
    case DType::kQ5_K:
      return make_q5_k_block;
    case DType::kQ6_K:
      return make_q6_k_block;
    case DType::kMXFP4:
      return make_mxfp4;
    default:
      return nullptr;
  }
}

}  // namespace

bool can_quantize(DType dtype) { return block_function(dtype) != nullptr; }

void quantize(DType dtype, const float* values, size_t n_elements, std::byte* blocks) {
  const DTypeInfo& info = dtype_info(dtype);
  const BlockFunction function = block_function(dtype);
  CHECK(function != nullptr && n_elements % info.block_elements == 0);
  auto* block = reinterpret_cast<uint8_t*>(blocks);
  for (size_t i = 0; i < n_elements; i += info.block_elements, block += info.block_bytes) {
    function(values + i, block);
  }
}

}  // namespace maru::tensor
