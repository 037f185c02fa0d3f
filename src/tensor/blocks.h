// tensor/blocks.h - the parts of a quantized block that need more than an index to read: packed
// scales and the value tables of the 4-bit float types. Used by dequantize.cc and by the packing
// of kernels/.
//
// Source: docs/formats/quants.md. Threads: pure functions, constant tables.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace maru::tensor {

// IQ4_NL and IQ4_XS: the value of each 4-bit code.
inline constexpr std::array<int8_t, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};
// MXFP4 and NVFP4: twice the value of each E2M1 code.
inline constexpr std::array<int8_t, 16> kE2m1Doubled = {0, 1,  2,  3,  4,  6,  8,  12,
                                                        0, -1, -2, -3, -4, -6, -8, -12};

struct ScaleMin {
  uint8_t scale;
  uint8_t min;
};

// Q4_K and Q5_K: the 6-bit scale and minimum of sub-block j < 8, out of 12 bytes. The first four
// pairs lie in the low six bits of bytes 0-7; the rest have their low nibbles in bytes 8-11 and
// their two upper bits on top of bytes 0-7.
inline ScaleMin scale_min_k4(const uint8_t* packed, size_t j) {
  if (j < 4) {
    return {static_cast<uint8_t>(packed[j] & 63), static_cast<uint8_t>(packed[j + 4] & 63)};
  }
  return {static_cast<uint8_t>((packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4),
          static_cast<uint8_t>(packed[j + 4] >> 4 | (packed[j] >> 6) << 4)};
}

// Q3_K: the scale of sub-block j < 16, out of 12 bytes, -32 to 31.
inline int8_t scale_q3k(const uint8_t* packed, size_t j) {
  const int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
  const int high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
  return static_cast<int8_t>((low | high << 4) - 32);
}

// IQ4_XS: the scale of sub-block j < 8, -32 to 31.
inline int8_t scale_iq4xs(uint16_t high, const uint8_t* low, size_t j) {
  const int value = (low[j / 2] >> (4 * (j % 2)) & 15) | (high >> (2 * j) & 3) << 4;
  return static_cast<int8_t>(value - 32);
}

}  // namespace maru::tensor
