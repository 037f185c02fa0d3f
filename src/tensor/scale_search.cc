#include "tensor/scale_search.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "tensor/half.h"

namespace maru::tensor {
namespace {

constexpr size_t kLanes = 8;
using Lanes = std::array<float, kLanes>;

float sum(const Lanes& lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// What a regression needs of codes q and values x.
struct Sums {
  float q = 0;
  float qq = 0;
  float xq = 0;
};

// q is the nearest code of (x + min) x inverse.
Sums sums_of_codes(std::span<const float> x, float inverse, float min, CodeRange range) {
  const auto low = static_cast<float>(range.low);
  const auto high = static_cast<float>(range.high);
  Lanes q{}, qq{}, xq{};
  for (size_t i = 0; i < x.size(); i += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) {
      const float code = nearest_code((x[i + l] + min) * inverse, low, high);
      q[l] += code;
      qq[l] += code * code;
      xq[l] += x[i + l] * code;
    }
  }
  return {sum(q), sum(qq), sum(xq)};
}

// Steps of the search: the largest value lands up to one code beside the end of the range.
constexpr int kSteps = 10;
constexpr float kStep = 0.1f;

struct Moments {
  double n, x, xx;
};

// The regression of x on codes, with min >= 0, and the squared error that it leaves.
struct Regression {
  Affine fit;
  double error;
};
Regression regress(const Moments& m, const Sums& sums) {
  const double q = sums.q, qq = sums.qq, xq = sums.xq;
  const double spread = m.n * qq - q * q;
  double scale = spread > 0 ? (m.n * xq - m.x * q) / spread : 0;
  double min = (q * scale - m.x) / m.n;
  if (min < 0 || scale <= 0) {
    min = 0;
    scale = qq > 0 ? std::max(xq / qq, 0.0) : 0;
  }
  const double error = m.xx - 2 * scale * xq + 2 * min * m.x + scale * scale * qq -
                       2 * scale * min * q + m.n * min * min;
  return {{static_cast<float>(scale), static_cast<float>(min)}, error};
}

}  // namespace

// Not a loop that keeps the value with the larger fabs(): clang 19.1.7 at -O3 unrolls that, and
// then finds another value.
float farthest_from_zero(std::span<const float> x) {
  const auto [low, high] = std::ranges::minmax(x);
  return -low > high ? low : high;
}

float search_scale(std::span<const float> x, CodeRange range) {
  DCHECK(x.size() % kLanes == 0);
  const float extreme = farthest_from_zero(x);
  if (extreme == 0) return 0;
  float best_scale = 0;
  float best_gain = 0;
  // The extreme is put near either end of the range.
  for (const int end : {range.low, range.high}) {
    for (int step = -kSteps; step <= kSteps; ++step) {
      const float inverse = (static_cast<float>(end) + kStep * static_cast<float>(step)) / extreme;
      if (!std::isfinite(inverse)) continue;
      const Sums sums = sums_of_codes(x, inverse, 0, range);
      // The regression leaves sum(x^2) - gain.
      const float gain = sums.qq > 0 ? sums.xq / sums.qq * sums.xq : 0;
      if (gain > best_gain) {
        best_gain = gain;
        best_scale = sums.xq / sums.qq;
      }
    }
  }
  return best_scale;
}

Affine search_affine(std::span<const float> x, int high) {
  DCHECK(x.size() % kLanes == 0);
  const float low_x = std::min(*std::ranges::min_element(x), 0.0f);
  const float high_x = std::max(*std::ranges::max_element(x), 0.0f);
  const float width = high_x - low_x;
  if (width == 0 || !std::isfinite(width)) return {0, 0};
  Moments moments{static_cast<double>(x.size()), 0, 0};
  for (const double value : x) {
    moments.x += value;
    moments.xx += value * value;
  }
  Regression best{{0, 0}, moments.xx};
  for (int step = -kSteps; step <= kSteps; ++step) {
    const float inverse = (static_cast<float>(high) + kStep * static_cast<float>(step)) / width;
    if (!std::isfinite(inverse)) continue;
    const Regression found = regress(moments, sums_of_codes(x, inverse, -low_x, {0, high}));
    if (found.error < best.error) best = found;
  }
  return best.fit;
}

float squared_error(std::span<const float> x, Affine fit, CodeRange range) {
  DCHECK(x.size() % kLanes == 0);
  const float inverse = inverse_of(fit.scale);
  const auto low = static_cast<float>(range.low);
  const auto high = static_cast<float>(range.high);
  Lanes error{};
  for (size_t i = 0; i < x.size(); i += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) {
      const float code = nearest_code((x[i + l] + fit.min) * inverse, low, high);
      const float off = x[i + l] - (fit.scale * code - fit.min);
      error[l] += off * off;
    }
  }
  return sum(error);
}

StoredScale stored_scale(float x) {
  constexpr float kF16Max = 65504.0f;
  const uint16_t bits = f32_to_f16(std::clamp(x, -kF16Max, kF16Max));
  return {bits, f16_to_f32(bits)};
}

}  // namespace maru::tensor
