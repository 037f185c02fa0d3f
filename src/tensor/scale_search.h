// tensor/scale_search.h - which scale (and minimum) serves a run of values best when each becomes a
// small integer; for quantize.cc and quantize_k.cc only.
//
// For fixed codes the best scale is a linear regression, and for a fixed scale the best codes are
// the nearest ones: the search tries scales around the one that just reaches the largest value,
// rounds, regresses, and keeps the best (Lloyd 1982, "Least squares quantization in PCM", with many
// starts in place of iterations).
// Threads: pure functions. Sums run in eight fixed lanes: the same bits on any machine.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace maru::tensor {

// The integers that codes may be.
struct CodeRange {
  int low;
  int high;
};

// x ~ scale q - min.
struct Affine {
  float scale;  // >= 0
  float min;    // >= 0
};

// Below |x| = 2^22 the nearest integer, ties to even: adding 1.5 x 2^23 leaves no bits behind the
// point. (roundf is a call on a machine without SSE4.1.)
inline float round_even(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

inline float nearest_code(float x, float low, float high) {
  const float above = x > low ? x : low;
  return round_even(above < high ? above : high);
}

// 1 / scale, or 0 where that has no value: then all codes are 0.
inline float inverse_of(float scale) { return scale == 0.0f ? 0.0f : 1.0f / scale; }

// The value with the largest magnitude, with its sign.
float farthest_from_zero(std::span<const float> x);

// Shapes: x [n], n a multiple of 8. The scale for x ~ scale q; it may be negative, as the longer
// side of the range may serve either sign. 0 where all of x is.
float search_scale(std::span<const float> x, CodeRange range);

// The same for x ~ scale q - min, q in [0, high].
Affine search_affine(std::span<const float> x, int high);

// Sum of (x - (scale q - min))^2 with the nearest q in the range.
float squared_error(std::span<const float> x, Affine fit, CodeRange range);

// The float16 nearest to x and what it holds; beyond float16 the largest finite value.
struct StoredScale {
  uint16_t bits;
  float value;
};
StoredScale stored_scale(float x);

}  // namespace maru::tensor
