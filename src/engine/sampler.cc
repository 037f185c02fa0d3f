#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace maru::engine {
namespace {

using Candidate = Sampler::Candidate;

// Candidates below this share of the best are sorted only if the nucleus reaches down to them: of
// 152k tokens a few thousand are above it.
constexpr float kTailWeight = 1e-7f;

// How many more than k candidates are gathered before they are cut back to k.
constexpr size_t kTopKSlack = 1024;

bool likelier(const Candidate& a, const Candidate& b) {
  return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
}

double sum_of(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.weight;
  return sum;
}

// The length of the shortest front part that holds `mass`; at least 1.
size_t front_with_mass(std::span<const Candidate> candidates, double mass) {
  double sum = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    sum += candidates[i].weight;
    if (sum >= mass) return i + 1;
  }
  return candidates.size();
}

// The lowest id among the best. NaN never wins.
size_t find_best(std::span<const float> logits) {
  size_t best = 0;
  float largest = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > largest) {
      largest = logits[i];
      best = i;
    }
  }
  return best;
}

}  // namespace

Sampler::Scratch::Scratch(size_t n_vocab) : n_seen(n_vocab, 0) {
  candidates.reserve(n_vocab);
  raw.reserve(n_vocab);
  top.reserve(kLogprobsMax + 1);
}

Sampler::Sampler(const SamplingParams& params) : params_(params), rng_(params.seed) {}

std::optional<Sampler::Draw> Sampler::draw(std::span<float> logits,
                                           std::span<const TokenId> history, Scratch& scratch) {
  CHECK(logits.size() <= scratch.n_seen.size());
  if (params_.want_logprobs) scratch.raw.assign(logits.begin(), logits.end());
  penalize(logits, history, scratch);
  const size_t best = find_best(logits);
  if (!std::isfinite(logits[best])) return std::nullopt;
  Draw draw;
  draw.id = params_.temperature == 0.0f ? static_cast<TokenId>(best)
                                        : pick(logits, logits[best], scratch.candidates);
  if (params_.want_logprobs) {
    const double log_sum = log_sum_exp(scratch.raw);
    draw.logprob = static_cast<float>(scratch.raw[static_cast<size_t>(draw.id)] - log_sum);
    top_logprobs(scratch.raw, log_sum, params_.n_logprobs, scratch.top);
    draw.top = scratch.top;
  }
  return draw;
}

void Sampler::penalize(std::span<float> logits, std::span<const TokenId> history,
                       Scratch& scratch) const {
  const bool penalizes = params_.repetition_penalty != 1.0f || params_.frequency_penalty != 0.0f ||
                         params_.presence_penalty != 0.0f;
  if (penalizes) {
    const auto recent = history.last(std::min(history.size(), params_.penalty_last_n));
    for (const TokenId id : recent) ++scratch.n_seen[static_cast<size_t>(id)];
    for (const TokenId id : recent) {
      const auto i = static_cast<size_t>(id);
      const uint32_t n = std::exchange(scratch.n_seen[i], 0);
      if (n == 0) continue;  // done at an earlier occurrence
      float& logit = logits[i];
      logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
      logit -= params_.frequency_penalty * static_cast<float>(n) + params_.presence_penalty;
    }
  }
  for (const auto& [id, bias] : params_.logit_bias) logits[static_cast<size_t>(id)] += bias;
}

TokenId Sampler::pick(std::span<const float> logits, float best,
                      std::vector<Candidate>& candidates) {
  keep_top_k(logits, candidates);
  for (Candidate& candidate : candidates) {
    candidate.weight = std::exp((candidate.weight - best) / params_.temperature);
  }
  keep_typical(candidates);
  keep_nucleus(candidates);
  keep_min_p(candidates);
  double left = rng_.uniform() * sum_of(candidates);
  TokenId last = candidates.front().id;
  for (const Candidate& candidate : candidates) {
    if (candidate.weight == 0) continue;
    left -= candidate.weight;
    last = candidate.id;
    if (left < 0) break;
  }
  return last;  // where rounding carried us past the end, the last one that could be drawn
}

void Sampler::keep_top_k(std::span<const float> logits, std::vector<Candidate>& candidates) const {
  candidates.clear();
  const size_t k = params_.top_k == 0 ? logits.size() : std::min(params_.top_k, logits.size());
  const size_t n_gathered_max = k + std::min(std::max(k, kTopKSlack), logits.size() - k);
  const auto cut = [&] {
    std::ranges::nth_element(candidates, candidates.begin() + static_cast<ptrdiff_t>(k - 1),
                             likelier);
    candidates.resize(k);
  };
  // Among equal logits the lower id counts as likelier, and ids come in order: what is not above
  // the k-th best so far cannot get in.
  float threshold = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > threshold)) continue;
    candidates.push_back({logits[i], 0, static_cast<TokenId>(i)});
    if (candidates.size() == n_gathered_max && n_gathered_max > k) {
      cut();
      threshold = candidates[k - 1].weight;
    }
  }
  if (candidates.size() > k) cut();
}

void Sampler::keep_typical(std::vector<Candidate>& candidates) const {
  if (params_.typical_p >= 1.0f) return;
  const double total = sum_of(candidates);
  double entropy = 0;
  for (const Candidate& candidate : candidates) {
    const double p = candidate.weight / total;
    if (p > 0) entropy -= p * std::log(p);
  }
  for (Candidate& candidate : candidates) {
    const double p = candidate.weight / total;
    candidate.key = static_cast<float>(std::abs(-std::log(p) - entropy));  // inf where p is 0
  }
  std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) {
    return a.key < b.key || (a.key == b.key && a.id < b.id);
  });
  candidates.resize(front_with_mass(candidates, params_.typical_p * total));
}

void Sampler::keep_nucleus(std::vector<Candidate>& candidates) const {
  if (params_.top_p >= 1.0f) return;
  const double mass = params_.top_p * sum_of(candidates);
  const auto tail = std::ranges::partition(
      candidates, [](const Candidate& candidate) { return candidate.weight >= kTailWeight; });
  const size_t n_head = candidates.size() - tail.size();
  if (n_head > 0 && sum_of(std::span(candidates).first(n_head)) >= mass) {
    candidates.resize(n_head);  // the nucleus is a front part of the likeliest
  }
  std::ranges::sort(candidates, likelier);
  candidates.resize(front_with_mass(candidates, mass));
}

void Sampler::keep_min_p(std::vector<Candidate>& candidates) const {
  if (params_.min_p <= 0.0f) return;
  float best = 0;
  for (const Candidate& candidate : candidates) best = std::max(best, candidate.weight);
  const float least = params_.min_p * best;
  std::erase_if(candidates,
                [least](const Candidate& candidate) { return candidate.weight < least; });
}

double log_sum_exp(std::span<const float> logits) {
  const float best = logits[find_best(logits)];
  double sum = 0;
  for (const float logit : logits) {
    if (logit == logit) sum += std::exp(static_cast<double>(logit) - best);
  }
  return best + std::log(sum);
}

void top_logprobs(std::span<const float> logits, double log_sum, size_t n,
                  std::vector<std::pair<TokenId, float>>& out) {
  // Kept sorted while n is small; a heap would move less for large n, which only scores ask for.
  const auto better = [](const auto& a, const auto& b) {
    return a.second > b.second || (a.second == b.second && a.first < b.first);
  };
  out.clear();
  n = std::min(n, logits.size());
  if (n == 0) return;
  if (n > kLogprobsMax) {
    for (size_t i = 0; i < logits.size(); ++i) {
      out.emplace_back(static_cast<TokenId>(i), logits[i] == logits[i] ? logits[i] : -INFINITY);
    }
    std::ranges::partial_sort(out, out.begin() + static_cast<ptrdiff_t>(n), better);
    out.resize(n);
  } else {
    for (size_t i = 0; i < logits.size(); ++i) {
      const std::pair<TokenId, float> entry(static_cast<TokenId>(i),
                                            logits[i] == logits[i] ? logits[i] : -INFINITY);
      if (out.size() == n && !better(entry, out.back())) continue;
      if (out.size() == n) out.pop_back();
      out.insert(std::ranges::upper_bound(out, entry, better), entry);
    }
  }
  for (auto& [id, logit] : out) logit = static_cast<float>(logit - log_sum);
}

}  // namespace maru::engine
