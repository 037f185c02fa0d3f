// engine/logit_row.h - one row of logits and the largest of each block of it, so that the likeliest
// tokens are found without looking at the others.
//
// Sampler and Engine make one per row. Of 152k tokens the best 40 lie in 40 of 2,374 blocks at
// most: after one pass of vectors (bench_sampling measures it) nearly nothing is left to look at.
// NaN counts as -inf throughout. Threads: none; Scratch belongs to the owner.
#pragma once
#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "engine/sampling.h"
#include "kernels/kernel_table.h"

namespace maru::engine {

class LogitRow {
 public:
  // Reserved once, so that a row allocates nothing.
  struct Scratch {
    explicit Scratch(size_t n_vocab);
    std::vector<float> maxima;
    std::vector<float> sums;
    std::vector<float> largest;
  };

  // Requires: logits is not empty; logits, ops and scratch outlive this, and the logits stay as
  // they are. One row per Scratch at a time.
  LogitRow(std::span<const float> logits, const kernels::OpsTable& ops, Scratch& scratch);

  std::span<const float> logits() const { return logits_; }
  // The lowest id among the best, and its logit: -inf where no logit is above that.
  TokenId best_id() const;
  float best() const { return best_; }

  // At least n tokens have a logit this high (all, where n is larger); not many more have, unless
  // they are equal.
  float bound_of_likeliest(size_t n) const;

  // Calls f(id, logit) for each token with a logit of at least `least`, in order of ids.
  template <class F>
  void for_at_least(float least, F f) const {
    for (size_t block = 0; block < scratch_.maxima.size(); ++block) {
      if (scratch_.maxima[block] < least) continue;
      const size_t begin = block * kernels::kLogitBlock;
      for (size_t i = begin; i < std::min(begin + kernels::kLogitBlock, logits_.size()); ++i) {
        const float logit = logits_[i] == logits_[i] ? logits_[i] : kLowest;
        if (logit >= least) f(static_cast<TokenId>(i), logit);
      }
    }
  }

  // Weights are e^((logit - best) * scale); here their sum per block and that of all.
  // Requires: best() is finite, as for what follows.
  double sum_weights(float scale) const;
  // The first token, by id, at which the running sum of the weights exceeds `mass`; the last one
  // with a weight where rounding leaves none. Requires: sum_weights(scale) came before.
  TokenId find_mass(double mass, float scale) const;

  // ln(sum of exp(logits)).
  double log_sum_exp() const;
  // The n likeliest (all, where there are fewer), best first, lower id first among equals; their
  // logits less `log_sum`.
  void top_logprobs(double log_sum, size_t n, std::vector<std::pair<TokenId, float>>& out) const;

 private:
  static constexpr float kLowest = -std::numeric_limits<float>::infinity();

  std::span<const float> logits_;
  const kernels::OpsTable& ops_;
  Scratch& scratch_;
  float best_;
};

}  // namespace maru::engine
