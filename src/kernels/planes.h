// kernels/planes.h - a Q8_0 matrix in two planes: the upper 5 bits of each code with the factors,
// and the lower 3 bits. The upper plane gives each product to within a bound, so that rows that
// cannot matter are read no further; both together (Plane::kBoth) give the bits that the packed
// matrix gives.
//
// With a code u (0 to 255) the weight is (u - 128) d. In the high plane the low bits l of u are
// taken for the middle of their range: its weights are (u - l + 3.5 - 128) d, multiplied as
// PackedMatrix with Plane::kHigh. Of the 8 code lines of a run, byte by byte, the bits 7 to 3 lie
// in five lines and the bits 2 to 0 in three others:
//
//   high   line k < 5: code line k in its place; below it
//          line 0: bits 7 6 5 of code line 5       line 1: bit 4 of 7, bits 4 3 of 5
//          line 2: bits 7 6 5 of code line 6       line 3: bit 3 of 7, bits 4 3 of 6
//          line 4: bits 7 6 5 of code line 7
//   low    line k < 3: code lines 2 k (bits 2 to 0) and 2 k + 1 (bits 5 to 3); above them
//          line 0: bits 1 0 of code line 6         line 1: bits 1 0 of code line 7
//          line 2: bit 2 of 7, bit 2 of 6
//
// So most codes are put together by one selection of bits.
//
// The bound. What the high plane misses of a product is e = sum of (l - 3.5) d x. For any positive
// w of the columns e^2 <= sum of ((l - 3.5) d)^2 w times sum of x^2 / w (Cauchy and Schwarz): the
// first is a number of the row (`rest` is its root), the second one of the activations. Weights
// that are large where activations tend to be make it tighter. Rounding is in `rest`: see
// rest_of_row.
#pragma once
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "kernels/packed_layout.h"

namespace maru::kernels {

inline constexpr uint8_t kColumnWeightMax = 127;

// Where bit `bit` of code line k is: of the high plane's lines for bits 3 to 7, else of the low
// plane's.
struct PlaneBit {
  size_t line;
  size_t bit;
};
constexpr PlaneBit plane_bit(size_t k, size_t bit) {
  if (bit < 3) {
    if (k < 6) return {k / 2, 3 * (k % 2) + bit};
    return bit < 2 ? PlaneBit{k - 6, 6 + bit} : PlaneBit{2, k};
  }
  if (k < 5) return {k, bit};
  if (bit >= 5) return {2 * (k - 5), bit - 5};
  if (k < 7) return {2 * (k - 5) + 1, bit - 3};
  return bit == 4 ? PlaneBit{1, 2} : PlaneBit{3, 2};
}

constexpr size_t high_plane_bytes(size_t n_cols) {
  return packed_group(kHighPlaneLayout, n_cols).n_bytes;
}
constexpr size_t low_plane_bytes(size_t n_cols) {
  return n_cols / kRun * kLowPlaneLines * kLineBytes;
}

// A row's `rest`. energy: sum over the blocks of d^2 times the sum of (2 l - 7)^2 w, w of 1 to 127;
// squares: sum of d^2.
// The second term is for rounding: sums of n runs are off by at most (n + 16) 2^-24 of the sum of
// their terms' sizes, in both products; a term of the high plane is at most 256 d times the sum of
// |q|, and that over a row, with w <= 1, at most 256 sqrt(32) sqrt(squares) times the root of the
// sum of x^2 / w. The factor is for the float32 in which these two were added up.
inline float rest_of_row(float energy, float squares, size_t n_runs) {
  const float rounding = 0x1p-23f * static_cast<float>(n_runs + 16) * 1449.0f;
  const float rest =
      std::sqrt(energy * (1.0f / (4.0f * kColumnWeightMax))) + rounding * std::sqrt(squares);
  const float above = rest * 1.001f;
  return std::isfinite(above) ? above : std::numeric_limits<float>::infinity();
}

// 1 / w of each column, w as a part of the largest.
std::vector<float> inverse_weights(std::span<const uint8_t> weights);

// The activations' factor of the bound: the root of the sum of x^2 / w, of a row of kInt8, a little
// above. Not finite where a value is not. Shapes: inverse [n_cols].
float activation_reach(const std::byte* row, size_t n_cols, const float* inverse);

}  // namespace maru::kernels
