#include "model/rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace maru::model {

void Rope::fill(size_t position, float* out) const {
  const size_t half = inv_freq.size();
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * inv_freq[i];
    out[i] = static_cast<float>(std::cos(angle) * magnitude);
    out[half + i] = static_cast<float>(std::sin(angle) * magnitude);
  }
}

Rope plain_rope(size_t n_rot, double base, bool interleaved) {
  Rope rope{interleaved, std::vector<double>(n_rot / 2), 1.0};
  for (size_t i = 0; i < rope.inv_freq.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(n_rot);
    rope.inv_freq[i] = std::pow(base, -exponent);
  }
  return rope;
}

Rope yarn_rope(size_t n_rot, double base, bool interleaved, const YarnScaling& scaling) {
  Rope rope = plain_rope(n_rot, base, interleaved);
  // The dimension whose wave turns `turns` times within the original context.
  const auto dimension_of = [&](double turns) {
    const double wave = scaling.n_ctx_original / (turns * 2.0 * std::numbers::pi);
    return static_cast<double>(n_rot) * std::log(wave) / (2.0 * std::log(base));
  };
  double low = dimension_of(scaling.beta_fast);
  double high = dimension_of(scaling.beta_slow);
  if (scaling.whole_dimensions) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(n_rot) - 1.0);
  const double width = std::max(high - low, 0.001);
  for (size_t i = 0; i < rope.inv_freq.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
    // Fast waves (ramp 0) are kept, slow ones (ramp 1) are stretched by the factor.
    rope.inv_freq[i] *= (1.0 - ramp) + ramp / scaling.factor;
  }
  if (scaling.factor > 1.0) rope.magnitude = 0.1 * std::log(scaling.factor) + 1.0;
  return rope;
}

namespace {

Result<Rope> yarn_from_config(const Config& config, size_t n_rot, double base, bool interleaved,
                              bool whole_dimensions) {
  MARU_TRY(factor, config.number("rope.scaling.factor"));
  MARU_TRY(n_ctx, config.count("rope.scaling.original_context_length"));
  MARU_TRY(beta_fast, config.number_or("rope.scaling.yarn_beta_fast", 32.0f));
  MARU_TRY(beta_slow, config.number_or("rope.scaling.yarn_beta_slow", 1.0f));
  if (!(factor >= 1.0f) || n_ctx == 0 || !(beta_fast > 0.0f) || !(beta_slow > 0.0f)) {
    return Error::corrupt("rope scaling of type yarn needs a factor of at least 1 and a context");
  }
  Rope rope =
      yarn_rope(n_rot, base, interleaved,
                {factor, static_cast<double>(n_ctx), beta_fast, beta_slow, whole_dimensions});
  MARU_TRY(magnitude, config.number_or("rope.scaling.attn_factor", 0.0f));
  if (magnitude > 0.0f) rope.magnitude *= magnitude;
  return rope;
}

}  // namespace

Result<Rope> rope_from_config(const Config& config, size_t d_head, bool interleaved,
                              bool yarn_whole_dimensions) {
  MARU_TRY(n_rot, config.count_or("rope.dimension_count", d_head));
  MARU_TRY(base, config.number_or("rope.freq_base", 10000.0f));
  if (n_rot == 0 || n_rot % 2 != 0 || n_rot > d_head || !(base > 1.0f)) {
    return Error::corrupt(
        fmt::format("rope over {} of {} dimensions with base {} makes no sense; expected an even "
                    "number up to the head's size and a base above 1",
                    n_rot, d_head, base));
  }
  MARU_TRY(type, config.text_or("rope.scaling.type", "none"));
  if (type == "yarn") {
    return yarn_from_config(config, n_rot, base, interleaved, yarn_whole_dimensions);
  }
  Rope rope = plain_rope(n_rot, base, interleaved);
  if (type == "linear") {
    MARU_TRY(factor, config.number("rope.scaling.factor"));
    if (!(factor > 0.0f)) return Error::corrupt("rope.scaling.factor must be above 0");
    for (double& f : rope.inv_freq) f /= factor;
  } else if (type != "none") {
    return Error::unsupported(fmt::format("rope scaling '{}'; accepted: none, linear, yarn", type));
  }
  MARU_TRY(factors, config.optional_vector("rope_freqs.weight", n_rot / 2));
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0.0f)) return Error::corrupt("tensor 'rope_freqs.weight' must be above 0");
    rope.inv_freq[i] /= factors[i];
  }
  return rope;
}

}  // namespace maru::model
