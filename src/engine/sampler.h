// engine/sampler.h - draws the next token from a row of logits.
//
// Engine owns one Sampler per generation and one Scratch for all. The order of the steps is that of
// engine/sampling.h. Equal parameters, seed, history and logits give the same token.
// Sources: nucleus, Holtzman et al. 2020 (arXiv:1904.09751); locally typical, Meister et al. 2023
// (arXiv:2202.00666); min-p, Nguyen et al. 2024 (arXiv:2407.01082); repetition penalty, Keskar et
// al. 2019 (arXiv:1909.05858), section 4.1.
// Threads: one owner.
#pragma once
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "engine/sampling.h"

namespace maru::engine {

class Sampler {
 public:
  struct Candidate {
    float weight;  // first the logit, then exp((logit - best) / temperature)
    float key;     // order of typical_p
    TokenId id;
  };

  // Reserved once, so that drawing a token allocates nothing.
  struct Scratch {
    explicit Scratch(size_t n_vocab);
    std::vector<Candidate> candidates;
    std::vector<uint32_t> n_seen;  // per token; all 0 between calls
    std::vector<float> raw;        // the logits before penalties, where logprobs are wanted
    std::vector<std::pair<TokenId, float>> top;
  };

  struct Draw {
    TokenId id = 0;
    // Natural logarithms of the softmax of the raw logits (before penalties and temperature).
    float logprob = 0;
    std::span<const std::pair<TokenId, float>> top;  // likeliest first; lives in the Scratch
  };

  // Requires: check_sampling(params) is ok.
  explicit Sampler(const SamplingParams& params);

  // Empty where no logit is finite or the best is not (a damaged model).
  // Shapes: logits [n_vocab], changed in place. `history` is the sequence so far, prompt included.
  std::optional<Draw> draw(std::span<float> logits, std::span<const TokenId> history,
                           Scratch& scratch);

 private:
  void penalize(std::span<float> logits, std::span<const TokenId> history, Scratch& scratch) const;
  TokenId pick(std::span<const float> logits, float best, std::vector<Candidate>& candidates);
  void keep_top_k(std::span<const float> logits, std::vector<Candidate>& candidates) const;
  void keep_typical(std::vector<Candidate>& candidates) const;
  void keep_nucleus(std::vector<Candidate>& candidates) const;
  void keep_min_p(std::vector<Candidate>& candidates) const;

  SamplingParams params_;
  Rng rng_;
};

// ln(sum of exp(logits)), in double. Requires: the largest is finite; NaN counts as -inf.
double log_sum_exp(std::span<const float> logits);

// The n likeliest (all, where there are fewer), best first, lower id first among equals.
void top_logprobs(std::span<const float> logits, double log_sum, size_t n,
                  std::vector<std::pair<TokenId, float>>& out);

}  // namespace maru::engine
