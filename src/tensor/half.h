// tensor/half.h - reading the short floats that tensors hold, on any machine, and writing them.
// Reading is exact, writing rounds to the nearest, ties to even.
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

// Overflow gives infinity, NaN stays NaN.
inline uint16_t f32_to_f16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and above
  if (magnitude < 0x38800000u) {                        // below 2^-14: a multiple of 2^-24
    // Adding 0.5 (whose last bit is 2^-24) rounds to that multiple, ties to even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000u);
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return sign | static_cast<uint16_t>((magnitude + 0xfffu + odd - 0x38000000u) >> 13);
}

inline float bf16_to_f32(uint16_t h) {
  return std::bit_cast<float>(static_cast<uint32_t>(h) << 16);
}

// Overflow gives infinity, NaN stays NaN.
inline uint16_t f32_to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  const uint32_t odd = (bits >> 16) & 1u;
  return static_cast<uint16_t>((bits + 0x7fffu + odd) >> 16);
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
