// tensor/codebooks.h - the vectors that the codes of IQ1, IQ2 and IQ3 types stand for. For
// dequantize_codebook.cc only.
//
// Source: the formats themselves (docs/formats/quants.md): the vectors are part of their
// definition. An entry packs the indexes of a vector's values: value j has 2 bits at 2 j (8 values;
// IQ1, IQ2) or 4 bits at 4 j (4 values; IQ3). Threads: constant tables.
#pragma once
#include <array>
#include <cstdint>

namespace maru::tensor {

// What the indexes mean.
inline constexpr std::array<float, 4> kIq1Values = {-1, 0, 1, 0};
inline constexpr std::array<float, 4> kIq2Values = {8, 25, 43, 0};
inline constexpr std::array<float, 8> kIq3XxsValues = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::array<float, 8> kIq3SValues = {1, 3, 5, 7, 9, 11, 13, 15};

extern const std::array<uint16_t, 256> kIq2XxsGrid;
extern const std::array<uint16_t, 512> kIq2XsGrid;
extern const std::array<uint16_t, 1024> kIq2SGrid;
extern const std::array<uint16_t, 256> kIq3XxsGrid;
extern const std::array<uint16_t, 512> kIq3SGrid;
extern const std::array<uint16_t, 2048> kIq1Grid;

}  // namespace maru::tensor
