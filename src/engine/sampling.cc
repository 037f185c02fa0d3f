#include "engine/sampling.h"

#include <fmt/format.h>

namespace maru::engine {
namespace {

// Written so that NaN fails.
Result<void> check_range(const char* name, float value, float low, bool low_included, float high) {
  const bool above = low_included ? value >= low : value > low;
  if (above && value <= high) return {};
  return Error::invalid(fmt::format("{} must be in {}{}, {}], not {}", name,
                                    low_included ? '[' : '(', low, high, value),
                        fmt::format("sampling.{}", name));
}

}  // namespace

Result<void> check_sampling(const SamplingParams& params, size_t n_vocab) {
  MARU_TRY_VOID(check_range("temperature", params.temperature, 0, true, 2));
  MARU_TRY_VOID(check_range("top_p", params.top_p, 0, false, 1));
  MARU_TRY_VOID(check_range("min_p", params.min_p, 0, true, 1));
  MARU_TRY_VOID(check_range("typical_p", params.typical_p, 0, false, 1));
  MARU_TRY_VOID(check_range("repetition_penalty", params.repetition_penalty, 0, false, 2));
  MARU_TRY_VOID(check_range("frequency_penalty", params.frequency_penalty, -2, true, 2));
  MARU_TRY_VOID(check_range("presence_penalty", params.presence_penalty, -2, true, 2));
  if (params.n_logprobs > kLogprobsMax) {
    return Error::invalid(
        fmt::format("n_logprobs must be in [0, {}], not {}", kLogprobsMax, params.n_logprobs),
        "sampling.n_logprobs");
  }
  if (params.logit_bias.size() > kLogitBiasMax) {
    return Error::invalid(fmt::format("logit_bias may name at most {} tokens, not {}",
                                      kLogitBiasMax, params.logit_bias.size()),
                          "sampling.logit_bias");
  }
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || static_cast<size_t>(id) >= n_vocab) {
      return Error::invalid(
          fmt::format("logit_bias names token {}; the model has 0 to {}", id, n_vocab - 1),
          "sampling.logit_bias");
    }
    if (!(bias >= -100 && bias <= 100)) {
      return Error::invalid(
          fmt::format("logit_bias of token {} must be in [-100, 100], not {}", id, bias),
          "sampling.logit_bias");
    }
  }
  return {};
}

}  // namespace maru::engine
