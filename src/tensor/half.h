// tensor/half.h - reading the short floats that tensors hold, on any machine. All exact.
//
// Source: IEEE 754 binary16; bfloat16 is the upper half of binary32; E8M0 is the OCP Microscaling
// Formats specification 1.0, section 5.4.1. Threads: pure functions.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace maru::tensor {

// Reads a T at any alignment (little endian machines only, as GGUF is).
template <class T>
inline T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t magnitude = h & 0x7FFFu;
  if (magnitude >= 0x7C00u) {  // infinity or NaN
    return std::bit_cast<float>(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
  }
  // As binary32 bits the value is too small by 2^112; the product is exact for subnormals too.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

inline float bf16_to_f32(uint16_t h) {
  return std::bit_cast<float>(static_cast<uint32_t>(h) << 16);
}

// 2^(e - 127).
inline float e8m0_to_f32(uint8_t e) {
  return std::bit_cast<float>(e == 0 ? 0x00400000u : static_cast<uint32_t>(e) << 23);
}

// Unsigned E4M3: 4 bits of exponent (bias 7), 3 of mantissa; 0x7F is NaN and read as 0, as the top
// bit is.
inline float ue4m3_to_f32(uint8_t x) {
  if (x == 0 || x == 0x7F) return 0.0f;
  const int exponent = x >> 3 & 15;
  const auto mantissa = static_cast<float>(x & 7);
  const float one = exponent == 0 ? mantissa * 0x1p-3f * 0x1p-6f : (1.0f + mantissa * 0x1p-3f);
  if (exponent == 0) return one;
  return one * std::bit_cast<float>(static_cast<uint32_t>(exponent - 7 + 127) << 23);
}

}  // namespace maru::tensor
