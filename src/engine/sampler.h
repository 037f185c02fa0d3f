// engine/sampler.h - draws the next token from a row of logits.
//
// Engine owns one Sampler per generation and one Scratch for all. The order of the steps is that of
// engine/sampling.h. Equal parameters, seed, history and logits give the same token: weights are
// float32, e^((logit - best) / temperature); a token is the first, by id, at which the running sum
// of those kept exceeds a share drawn evenly.
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
#include "engine/logit_row.h"
#include "engine/sampling.h"
#include "model/model.h"

namespace maru::engine {

class Sampler {
 public:
  struct Candidate {
    float logit;
    float weight;
    float key;  // order of typical_p
    TokenId id;
  };

  // Reserved once, so that drawing a token allocates nothing.
  struct Scratch {
    // Requires: ops outlives this; all tables give the same tokens.
    Scratch(size_t n_vocab, const kernels::OpsTable& ops);
    const kernels::OpsTable& ops;
    LogitRow::Scratch row;
    std::vector<Candidate> candidates;  // by id
    std::vector<Candidate> order;       // a copy of them, for finding where to cut
    std::vector<float> weights;
    std::vector<double> buckets;   // of a long `order`
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

  // Which logits draw() needs for the tokens it would draw from all: of a row whose history this
  // is, or lacks up to n_less of the last ones. `listed` is memory for them, `allowed` as for
  // draw(); both live as long as what is returned.
  model::WantedLogits wanted(std::span<const TokenId> history, size_t n_less,
                             std::vector<TokenId>& listed,
                             std::span<const uint64_t> allowed = {}) const;

  // Empty where no logit is finite or the best is not (a damaged model).
  // Shapes: logits [n_vocab], changed in place. `history` is the sequence so far, prompt included.
  // `allowed`: one bit for each token that may be drawn, the rest of the vocabulary may not; empty:
  // all may.
  std::optional<Draw> draw(std::span<float> logits, std::span<const TokenId> history,
                           Scratch& scratch, std::span<const uint64_t> allowed = {});

 private:
  bool penalizes() const;
  void penalize(std::span<float> logits, std::span<const TokenId> history, Scratch& scratch) const;
  TokenId pick(const LogitRow& row, Scratch& scratch);
  void gather(const LogitRow& row, float least, Scratch& scratch) const;
  void weigh(const LogitRow& row, Scratch& scratch) const;
  void gather_top_k(const LogitRow& row, Scratch& scratch) const;
  void gather_likeliest(const LogitRow& row, double mass, Scratch& scratch) const;
  void keep_typical(Scratch& scratch) const;
  void keep_min_p(std::vector<Candidate>& candidates) const;

  SamplingParams params_;
  float scale_ = 0;  // 1 / temperature
  Rng rng_;
};

}  // namespace maru::engine
