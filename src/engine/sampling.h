// engine/sampling.h - the parameters of drawing a token: one struct, checked once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/result.h"

namespace maru::engine {

using TokenId = int32_t;

inline constexpr size_t kLogprobsMax = 20;
inline constexpr size_t kLogitBiasMax = 1024;

// Order of application: penalties and bias on logits; temperature; then top_k, typical_p, top_p,
// min_p on what is left.
struct SamplingParams {
  float temperature = 0.8f;         // [0, 2]; divides the logits; 0 = always the best token
  size_t top_k = 40;                // 0 = all
  float top_p = 0.95f;              // (0, 1]: share of the probability mass kept
  float min_p = 0.05f;              // [0, 1]: least probability, relative to the best
  float typical_p = 1.0f;           // (0, 1]; 1 = off
  float repetition_penalty = 1.0f;  // (0, 2]; 1 = off; divides positive, multiplies negative logits
  float frequency_penalty = 0.0f;   // [-2, 2]; times how often the token was seen
  float presence_penalty = 0.0f;    // [-2, 2]; once for a token that was seen
  size_t penalty_last_n = 64;       // how many last tokens count as seen, prompt included
  std::vector<std::pair<TokenId, float>> logit_bias;  // at most kLogitBiasMax; [-100, 100]
  uint64_t seed = 0;
  size_t n_logprobs = 0;       // alternatives reported per token, at most kLogprobsMax
  bool want_logprobs = false;  // report the logprob of each token drawn
};

// Errors: kInvalidArgument naming the field and the accepted range; NaN is never accepted.
Result<void> check_sampling(const SamplingParams& params, size_t n_vocab);

}  // namespace maru::engine
