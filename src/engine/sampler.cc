#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/check.h"

namespace maru::engine {
namespace {

using Candidate = Sampler::Candidate;

// Without top_k the nucleus is looked for among the tokens that have at least this share of the
// best one's weight, and, where those do not hold its mass, among more. 0 = among all.
constexpr float kNucleusShares[] = {1e-3f, 1e-6f, 0.0f};

// A logit this far below a bound, in units of the temperature, has a weight below the bound's
// whatever was rounded on the way.
constexpr float kRoundingNats = 1e-3f;

// With more tokens whose logits are changed, all are wanted.
constexpr size_t kListedMax = 512;

// More candidates than these are first put into buckets by the upper bits of what orders them;
// fewer than those are sorted at once.
constexpr size_t kBucketedMin = 4096, kSortedMax = 64;
constexpr int kBucketBits = 14;

// What comes first has the higher rank; the lower id first among equals.
float likelihood(const Candidate& c) { return c.logit; }
float typicality(const Candidate& c) { return -c.key; }

template <class Rank>
auto by(Rank rank) {
  return [rank](const Candidate& a, const Candidate& b) {
    return rank(a) > rank(b) || (rank(a) == rank(b) && a.id < b.id);
  };
}

// In the order of the ranks. Both zeros are one rank.
size_t bucket_of(float rank) {
  const auto bits = std::bit_cast<uint32_t>(rank + 0.0f);
  return (bits ^ (bits >> 31 != 0 ? 0xffff'ffffu : 0x8000'0000u)) >> (32 - kBucketBits);
}

double sum_of(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.weight;
  return sum;
}

// Leaves `last` and those that come before it.
template <class Rank>
void keep_up_to(const Candidate& last, std::vector<Candidate>& candidates, Rank rank) {
  std::erase_if(candidates, [&](const Candidate& c) { return by(rank)(last, c); });
}

// Leaves the n likeliest. Requires: n >= 1.
void keep_likeliest(size_t n, Sampler::Scratch& scratch) {
  if (scratch.candidates.size() <= n) return;
  scratch.order = scratch.candidates;
  const auto last = scratch.order.begin() + static_cast<ptrdiff_t>(n - 1);
  std::ranges::nth_element(scratch.order, last, by(likelihood));
  keep_up_to(*last, scratch.candidates, likelihood);
}

// Those among which the front part with that mass ends go to scratch.order. Returns the mass of
// what comes before them.
template <class Rank>
double find_bucket(double mass, Sampler::Scratch& scratch, Rank rank) {
  scratch.buckets.assign(size_t{1} << kBucketBits, 0.0);
  for (const Candidate& c : scratch.candidates) scratch.buckets[bucket_of(rank(c))] += c.weight;
  double sum = 0;
  size_t end = scratch.buckets.size() - 1;
  for (; end > 0 && sum + scratch.buckets[end] < mass; --end) sum += scratch.buckets[end];
  scratch.order.clear();
  std::ranges::copy_if(scratch.candidates, std::back_inserter(scratch.order),
                       [&](const Candidate& c) { return bucket_of(rank(c)) == end; });
  return sum;
}

// Leaves the shortest front part that holds `mass`, at least one; all, where they hold less. Its
// end is found by buckets and then by halving, as one finds the n-th element.
template <class Rank>
void keep_front_with_mass(double mass, Sampler::Scratch& scratch, Rank rank) {
  double sum = 0;  // of what comes before `rest`
  if (scratch.candidates.size() > kBucketedMin) {
    sum = find_bucket(mass, scratch, rank);
  } else {
    scratch.order = scratch.candidates;
  }
  std::span<Candidate> rest = scratch.order;
  while (rest.size() > kSortedMax) {
    const size_t n_half = rest.size() / 2;
    std::ranges::nth_element(rest, rest.begin() + static_cast<ptrdiff_t>(n_half), by(rank));
    const double half = sum_of(rest.first(n_half));
    if (sum + half >= mass) {
      rest = rest.first(n_half);
    } else {
      sum += half;
      rest = rest.subspan(n_half);
    }
  }
  std::ranges::sort(rest, by(rank));
  for (const Candidate& candidate : rest) {
    sum += candidate.weight;
    if (sum >= mass) return keep_up_to(candidate, scratch.candidates, rank);
  }
}

// Tokens behind the last word are not allowed.
void forbid_others(std::span<float> logits, std::span<const uint64_t> allowed) {
  constexpr float kForbidden = -std::numeric_limits<float>::infinity();
  for (size_t begin = 0; begin < logits.size(); begin += 64) {
    const auto part = logits.subspan(begin, std::min<size_t>(64, logits.size() - begin));
    uint64_t word = begin / 64 < allowed.size() ? allowed[begin / 64] : 0;
    if (word == ~uint64_t{0}) continue;
    if (word == 0) {
      std::ranges::fill(part, kForbidden);
      continue;
    }
    for (float& logit : part) {
      if ((word & 1) == 0) logit = kForbidden;
      word >>= 1;
    }
  }
}

}  // namespace

Sampler::Scratch::Scratch(size_t n_vocab, const kernels::OpsTable& table)
    : ops(table), row(n_vocab), n_seen(n_vocab, 0) {
  candidates.reserve(n_vocab);
  order.reserve(n_vocab);
  weights.reserve(n_vocab);
  raw.reserve(n_vocab);
  top.reserve(n_vocab);
  buckets.reserve(size_t{1} << kBucketBits);
}

Sampler::Sampler(const SamplingParams& params) : params_(params), rng_(params.seed) {
  if (params.temperature > 0) {
    scale_ = std::min(1.0f / params.temperature, std::numeric_limits<float>::max());
  }
}

std::optional<Sampler::Draw> Sampler::draw(std::span<float> logits,
                                           std::span<const TokenId> history, Scratch& scratch,
                                           std::span<const uint64_t> allowed) {
  CHECK(logits.size() <= scratch.n_seen.size());
  if (params_.want_logprobs) scratch.raw.assign(logits.begin(), logits.end());
  penalize(logits, history, scratch);
  if (!allowed.empty()) forbid_others(logits, allowed);
  const LogitRow row(logits, scratch.ops, scratch.row);
  if (!std::isfinite(row.best())) return std::nullopt;
  Draw draw;
  draw.id = params_.temperature == 0.0f ? row.best_id() : pick(row, scratch);
  if (params_.want_logprobs) {  // nothing of `row` is needed after this line
    const LogitRow raw(scratch.raw, scratch.ops, scratch.row);
    const double log_sum = raw.log_sum_exp();
    draw.logprob = static_cast<float>(scratch.raw[static_cast<size_t>(draw.id)] - log_sum);
    raw.top_logprobs(log_sum, params_.n_logprobs, scratch.top);
    draw.top = scratch.top;
  }
  return draw;
}

bool Sampler::penalizes() const {
  return params_.repetition_penalty != 1.0f || params_.frequency_penalty != 0.0f ||
         params_.presence_penalty != 0.0f;
}

model::WantedLogits Sampler::wanted(std::span<const TokenId> history, size_t n_less,
                                    std::vector<TokenId>& listed,
                                    std::span<const uint64_t> allowed) const {
  model::WantedLogits wanted{.allowed = allowed};
  if (params_.want_logprobs) return wanted;
  if (params_.temperature == 0.0f) {
    wanted.n_best = 1;
  } else if (params_.top_k > 0) {
    wanted.n_best = params_.top_k;
  } else if (params_.typical_p >= 1.0f && params_.top_p >= 1.0f && params_.min_p > 0.0f) {
    wanted.n_best = 1;
    wanted.within = 2 * kRoundingNats / scale_ + (kRoundingNats - std::log(params_.min_p)) / scale_;
  } else {
    return wanted;  // the mass of all
  }
  // What penalties and biases change may end up anywhere.
  listed.clear();
  if (penalizes()) {
    const size_t n_recent = std::min(history.size(), params_.penalty_last_n);
    const auto recent = history.last(std::min(history.size(), n_recent + n_less));
    if (recent.size() > kListedMax) return {.allowed = allowed};
    listed.assign(recent.begin(), recent.end());
  }
  for (const auto& [id, bias] : params_.logit_bias) listed.push_back(id);
  if (listed.size() > kListedMax) return {.allowed = allowed};
  std::ranges::sort(listed);
  wanted.listed = listed;
  return wanted;
}

void Sampler::penalize(std::span<float> logits, std::span<const TokenId> history,
                       Scratch& scratch) const {
  if (penalizes()) {
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

TokenId Sampler::pick(const LogitRow& row, Scratch& scratch) {
  const bool has_mass = params_.top_p < 1.0f;
  double mass = 0;
  if (params_.top_k == 0 && params_.typical_p >= 1.0f) {
    if (!has_mass && params_.min_p <= 0.0f) {
      const double sum = row.sum_weights(scale_);
      return row.find_mass(rng_.uniform() * sum, scale_);
    }
    if (has_mass) mass = params_.top_p * row.sum_weights(scale_);
    gather_likeliest(row, mass, scratch);
  } else {
    gather_top_k(row, scratch);
    keep_typical(scratch);
    mass = params_.top_p * sum_of(scratch.candidates);
  }
  if (has_mass) keep_front_with_mass(mass, scratch, likelihood);
  keep_min_p(scratch.candidates);
  double left = rng_.uniform() * sum_of(scratch.candidates);
  TokenId last = scratch.candidates.front().id;
  for (const Candidate& candidate : scratch.candidates) {
    if (candidate.weight == 0) continue;
    left -= candidate.weight;
    last = candidate.id;
    if (left < 0) break;
  }
  return last;  // where rounding carried us past the end, the last one that could be drawn
}

// All of at least that logit.
void Sampler::gather(const LogitRow& row, float least, Scratch& scratch) const {
  scratch.candidates.clear();
  row.for_at_least(least, [&](TokenId id, float logit) {
    scratch.candidates.push_back({.logit = logit, .weight = 0, .key = 0, .id = id});
  });
}

void Sampler::weigh(const LogitRow& row, Scratch& scratch) const {
  scratch.weights.clear();
  for (const Candidate& candidate : scratch.candidates) scratch.weights.push_back(candidate.logit);
  float* weights = scratch.weights.data();
  scratch.ops.softmax_weights(weights, scratch.weights.size(), row.best(), scale_, weights);
  for (Candidate& candidate : scratch.candidates) candidate.weight = *weights++;
}

void Sampler::gather_top_k(const LogitRow& row, Scratch& scratch) const {
  const size_t n = row.logits().size();
  const size_t k = params_.top_k == 0 ? n : std::min(params_.top_k, n);
  gather(row, row.bound_of_likeliest(k), scratch);
  keep_likeliest(k, scratch);
  weigh(row, scratch);
}

// The likeliest of all: at least those that min_p keeps, or enough to hold `mass`.
void Sampler::gather_likeliest(const LogitRow& row, double mass, Scratch& scratch) const {
  if (params_.min_p > 0.0f) {
    gather(row, row.best() + (std::log(params_.min_p) - kRoundingNats) / scale_, scratch);
    return weigh(row, scratch);
  }
  for (const float share : kNucleusShares) {
    gather(row, row.best() + std::log(share) / scale_, scratch);
    weigh(row, scratch);
    if (sum_of(scratch.candidates) >= mass) return;
  }
}

void Sampler::keep_typical(Scratch& scratch) const {
  if (params_.typical_p >= 1.0f) return;
  const double total = sum_of(scratch.candidates);
  double entropy = 0;
  for (const Candidate& candidate : scratch.candidates) {
    const double p = candidate.weight / total;
    if (p > 0) entropy -= p * std::log(p);
  }
  for (Candidate& candidate : scratch.candidates) {
    const double p = candidate.weight / total;
    candidate.key = static_cast<float>(std::abs(-std::log(p) - entropy));  // inf where p is 0
  }
  keep_front_with_mass(params_.typical_p * total, scratch, typicality);
}

void Sampler::keep_min_p(std::vector<Candidate>& candidates) const {
  if (params_.min_p <= 0.0f) return;
  float best = 0;
  for (const Candidate& candidate : candidates) best = std::max(best, candidate.weight);
  const float least = params_.min_p * best;
  std::erase_if(candidates,
                [least](const Candidate& candidate) { return candidate.weight < least; });
}

}  // namespace maru::engine
