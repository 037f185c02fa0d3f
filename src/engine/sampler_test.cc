#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string>

#include "engine/fake_model.h"

namespace maru::engine {
namespace {

// The definition of sampling.h in its plainest form: the probability of every token, in double.
std::vector<double> reference(const SamplingParams& p, std::vector<double> logits,
                              const std::vector<TokenId>& history) {
  const size_t n = logits.size();
  std::map<TokenId, int> seen;
  const size_t n_recent = std::min(history.size(), p.penalty_last_n);
  for (size_t i = history.size() - n_recent; i < history.size(); ++i) ++seen[history[i]];
  for (const auto& [id, count] : seen) {
    double& logit = logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / p.repetition_penalty : logit * p.repetition_penalty;
    logit -= p.frequency_penalty * count + p.presence_penalty;
  }
  for (const auto& [id, bias] : p.logit_bias) logits[static_cast<size_t>(id)] += bias;
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  const auto by_logit = [&](size_t a, size_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  std::ranges::sort(order, by_logit);
  if (p.top_k != 0 && p.top_k < n) order.resize(p.top_k);
  std::vector<double> weight(n, 0);
  for (const size_t i : order) {
    weight[i] = std::exp((logits[i] - logits[order[0]]) / p.temperature);
  }
  const auto total = [&] { return std::accumulate(weight.begin(), weight.end(), 0.0); };
  const auto keep_mass = [&](double share) {
    const double mass = share * total();
    double sum = 0;
    for (const size_t i : order) {
      if (sum >= mass) weight[i] = 0;
      sum += weight[i];
    }
  };
  if (p.typical_p < 1) {
    const double sum = total();
    double entropy = 0;
    for (const double w : weight) entropy -= w > 0 ? w / sum * std::log(w / sum) : 0;
    const auto key = [&](size_t i) { return std::abs(-std::log(weight[i] / sum) - entropy); };
    std::ranges::sort(
        order, [&](size_t a, size_t b) { return key(a) < key(b) || (key(a) == key(b) && a < b); });
    keep_mass(p.typical_p);
    std::ranges::sort(order, by_logit);
  }
  if (p.top_p < 1) keep_mass(p.top_p);
  const double best = *std::ranges::max_element(weight);
  for (double& w : weight) w = w < p.min_p * best ? 0 : w;
  const double sum = total();
  for (double& w : weight) w /= sum;
  return weight;
}

SamplingParams plain() {
  SamplingParams p;
  p.temperature = 1;
  p.top_k = 0;
  p.top_p = 1;
  p.min_p = 0;
  return p;
}

const kernels::OpsTable& best_ops() { return kernels::available_kernels().back()->ops; }

std::vector<TokenId> draws(const SamplingParams& p, const std::vector<float>& logits,
                           const std::vector<TokenId>& history, size_t n,
                           const kernels::OpsTable& ops = best_ops()) {
  Sampler sampler(p);
  Sampler::Scratch scratch(logits.size(), ops);
  std::vector<TokenId> ids;
  for (size_t i = 0; i < n; ++i) {
    std::vector<float> row = logits;
    ids.push_back(sampler.draw(row, history, scratch)->id);
  }
  return ids;
}

SamplingParams random_params(Rng& rng, size_t n_vocab) {
  SamplingParams p = plain();
  p.seed = rng.next();
  p.temperature = static_cast<float>(0.3 + rng.uniform() * 1.7);
  if (rng.below(2) == 0) p.top_k = 1 + rng.below(n_vocab + 3);
  if (rng.below(2) == 0) p.top_p = static_cast<float>(0.05 + 0.9 * rng.uniform());
  if (rng.below(2) == 0) p.min_p = static_cast<float>(0.3 * rng.uniform());
  if (rng.below(3) == 0) p.typical_p = static_cast<float>(0.1 + 0.85 * rng.uniform());
  if (rng.below(2) == 0) p.repetition_penalty = static_cast<float>(0.5 + 1.5 * rng.uniform());
  if (rng.below(2) == 0) p.frequency_penalty = static_cast<float>(4 * rng.uniform() - 2);
  if (rng.below(2) == 0) p.presence_penalty = static_cast<float>(4 * rng.uniform() - 2);
  p.penalty_last_n = rng.below(8);
  if (rng.below(3) == 0) p.logit_bias = {{static_cast<TokenId>(rng.below(n_vocab)), 1.5f}};
  return p;
}

TEST(Sampler, DrawsFromTheReferenceDistribution) {
  constexpr size_t kDraws = 4000;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const size_t n_vocab = 2 + rng.below(30);
    std::vector<float> logits;
    for (size_t i = 0; i < n_vocab; ++i) {
      logits.push_back(static_cast<float>(rng.uniform() * 6 - 3));
    }
    std::vector<TokenId> history;
    for (size_t i = rng.below(12); i > 0; --i) {
      history.push_back(static_cast<TokenId>(rng.below(n_vocab)));
    }
    const SamplingParams p = random_params(rng, n_vocab);
    ASSERT_TRUE(check_sampling(p, n_vocab).ok());
    const auto expected = reference(p, {logits.begin(), logits.end()}, history);
    std::vector<size_t> n_drawn(n_vocab, 0);
    for (const TokenId id : draws(p, logits, history, kDraws)) ++n_drawn[static_cast<size_t>(id)];
    double chi_square = 0;
    double freedom = -1;
    for (size_t i = 0; i < n_vocab; ++i) {
      if (expected[i] == 0) {
        EXPECT_EQ(n_drawn[i], 0u) << "token " << i << " was to be left out";
        continue;
      }
      const double want = expected[i] * kDraws;
      chi_square += (static_cast<double>(n_drawn[i]) - want) *
                    (static_cast<double>(n_drawn[i]) - want) / want;
      ++freedom;
    }
    // Six standard deviations: passes by luck, never fails by it (the seeds are fixed).
    EXPECT_LT(chi_square, freedom + 6 * std::sqrt(2 * freedom) + 6);
  }
}

// Rows as models give them, and as they do not.
std::vector<float> row_of_kind(size_t kind, size_t n, Rng& rng) {
  std::vector<float> row(n);
  for (float& logit : row) {
    const auto u = static_cast<float>(rng.uniform());
    if (kind == 0) logit = -3.0f * std::log(u + 1e-9f);              // few are likely
    if (kind == 1) logit = 0.1f * u;                                 // nearly flat
    if (kind == 2) logit = std::floor(8 * u);                        // equals everywhere
    if (kind == 3) logit = u < 0.9f ? -INFINITY : 20 * u;            // most are excluded
    if (kind == 4) logit = u < 0.3f ? NAN : std::floor(40 * u) / 4;  // damaged in part
  }
  return row;
}

// The token that the definition names for a share u of the mass; off by rounding at most.
void expect_token(const std::vector<double>& weight, double u, TokenId got) {
  constexpr double kRounding = 3e-6;
  const auto id = static_cast<size_t>(got);
  EXPECT_GT(weight[id], 0) << "token " << id << " was to be left out";
  const double before = std::accumulate(weight.begin(), weight.begin() + got, 0.0);
  EXPECT_LE(before, u + kRounding) << "token " << id;
  EXPECT_GE(before + weight[id], u - kRounding) << "token " << id;
}

TEST(Sampler, DrawsTheTokensOfTheDefinitionOnEveryTable) {
  constexpr size_t kVocabs[] = {1, 63, 64, 65, 700, 9000};
  constexpr size_t kDraws = 3;
  for (uint64_t seed = 0; seed < 600; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const size_t n_vocab = kVocabs[seed % std::size(kVocabs)];
    const std::vector<float> logits = row_of_kind(seed / 6 % 5, n_vocab, rng);
    std::vector<TokenId> history;
    for (size_t i = rng.below(12); i > 0; --i) {
      history.push_back(static_cast<TokenId>(rng.below(n_vocab)));
    }
    SamplingParams p = random_params(rng, n_vocab);
    const std::vector<TokenId> got = [&] {
      Sampler::Scratch scratch(n_vocab, best_ops());
      std::vector<float> row = logits;
      const bool usable = Sampler(p).draw(row, history, scratch).has_value();
      return usable ? draws(p, logits, history, kDraws) : std::vector<TokenId>{};
    }();
    if (got.empty()) continue;
    std::vector<double> exact(logits.begin(), logits.end());
    for (double& logit : exact) logit = std::isnan(logit) ? -INFINITY : logit;
    const std::vector<double> weight = reference(p, exact, history);
    Rng shares(p.seed);
    for (const TokenId id : got) expect_token(weight, shares.uniform(), id);
    for (const kernels::KernelTable* table : kernels::available_kernels()) {
      EXPECT_EQ(draws(p, logits, history, kDraws, table->ops), got) << table->isa;
    }
  }
}

TEST(Sampler, TemperatureZeroTakesTheBestAndTheLowestIdOfEquals) {
  SamplingParams p = plain();
  p.temperature = 0;
  EXPECT_EQ(draws(p, {1, 3, 3, 2}, {}, 1), std::vector<TokenId>{1});
  p.logit_bias = {{3, 5.0f}};
  EXPECT_EQ(draws(p, {1, 3, 3, 2}, {}, 1), std::vector<TokenId>{3});
}

TEST(Sampler, EqualLogitsAreCutByIdAtTopK) {
  SamplingParams p = plain();
  p.top_k = 2;
  const std::vector<float> flat(5000, 1.0f);
  for (const TokenId id : draws(p, flat, {}, 200)) EXPECT_LT(id, 2);
}

TEST(Sampler, TopKOfALargeVocabularyIsThatOfAFullSort) {
  Rng rng(5);
  std::vector<float> logits(100'000);
  for (float& logit : logits) logit = static_cast<float>(rng.uniform() * 20);
  std::vector<float> sorted = logits;
  std::ranges::sort(sorted, std::greater<>());
  for (const size_t k : {1u, 40u, 3000u}) {
    SamplingParams p = plain();
    p.top_k = k;
    p.temperature = 2;
    for (const TokenId id : draws(p, logits, {}, 50)) {
      EXPECT_GE(logits[static_cast<size_t>(id)], sorted[k - 1]);
    }
  }
}

TEST(Sampler, TheSameSeedGivesTheSameTokens) {
  SamplingParams p;
  p.seed = 99;
  const std::vector<float> logits = {1, 2, 1.5f, 0.3f, 2.2f};
  EXPECT_EQ(draws(p, logits, {}, 100), draws(p, logits, {}, 100));
  SamplingParams other = p;
  other.seed = 100;
  EXPECT_NE(draws(p, logits, {}, 100), draws(other, logits, {}, 100));
}

TEST(Sampler, ReportsLogprobsOfTheRawLogits) {
  SamplingParams p = plain();
  p.temperature = 0;
  p.want_logprobs = true;
  p.n_logprobs = 2;
  p.logit_bias = {{0, 100.0f}};
  Sampler sampler(p);
  Sampler::Scratch scratch(3, best_ops());
  std::vector<float> row = {0, 1, 2};
  const auto draw = sampler.draw(row, {}, scratch);
  const double log_sum = std::log(1 + std::exp(1) + std::exp(2));
  EXPECT_EQ(draw->id, 0);
  EXPECT_NEAR(draw->logprob, -log_sum, 1e-6);
  ASSERT_EQ(draw->top.size(), 2u);
  EXPECT_EQ(draw->top[0].first, 2);
  EXPECT_NEAR(draw->top[0].second, 2 - log_sum, 1e-6);
  EXPECT_EQ(draw->top[1].first, 1);
}

TEST(Sampler, SurvivesWhatADamagedModelGives) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  Sampler sampler{SamplingParams{}};
  Sampler::Scratch scratch(3, best_ops());
  for (std::vector<float> row :
       {std::vector<float>{kNan, kNan, kNan}, {-kInf, -kInf, -kInf}, {0, kInf, 0}}) {
    EXPECT_FALSE(sampler.draw(row, {}, scratch).has_value());
  }
  std::vector<float> some = {kNan, 1, -kInf};
  EXPECT_EQ(sampler.draw(some, {}, scratch)->id, 1);
}

TEST(CheckSampling, NamesTheFieldAndTheRange) {
  SamplingParams p;
  EXPECT_TRUE(check_sampling(p, 10).ok());
  p.top_p = 0;
  EXPECT_EQ(check_sampling(p, 10).error().param, "sampling.top_p");
  EXPECT_NE(check_sampling(p, 10).error().message.find("(0, 1]"), std::string::npos);
  p = {};
  p.temperature = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(check_sampling(p, 10).error().param, "sampling.temperature");
  p = {};
  p.logit_bias = {{10, 0.0f}};
  EXPECT_EQ(check_sampling(p, 10).error().param, "sampling.logit_bias");
  p.logit_bias = {{-1, 0.0f}};
  EXPECT_FALSE(check_sampling(p, 10).ok());
  p = {};
  p.n_logprobs = kLogprobsMax + 1;
  EXPECT_EQ(check_sampling(p, 10).error().param, "sampling.n_logprobs");
}

// draw() is given only what wanted() names: all else is -inf.
TEST(Sampler, DrawsTheSameFromWhatItWants) {
  constexpr size_t kVocab = 1000;
  Rng rng(77);
  size_t n_few = 0;
  for (size_t round = 0; round < 600; ++round) {
    SamplingParams params;
    params.seed = round;
    params.temperature = rng.below(3) == 0 ? 0.0f : 0.2f + static_cast<float>(rng.uniform());
    params.top_k = std::array<size_t, 4>{0, 1, 5, 40}[rng.below(4)];
    params.top_p = rng.below(2) == 0 ? 1.0f : 0.9f;
    params.min_p = rng.below(2) == 0 ? 0.0f : 0.05f;
    params.typical_p = rng.below(4) == 0 ? 0.8f : 1.0f;
    params.repetition_penalty = rng.below(3) == 0 ? 0.7f + static_cast<float>(rng.uniform()) : 1.0f;
    params.frequency_penalty = rng.below(4) == 0 ? -1.0f : 0.0f;
    params.presence_penalty = rng.below(4) == 0 ? 1.5f : 0.0f;
    params.want_logprobs = rng.below(8) == 0;
    for (size_t i = rng.below(4); i > 0; --i) {
      params.logit_bias.emplace_back(static_cast<TokenId>(rng.below(kVocab)),
                                     static_cast<float>(rng.below(200)) - 100.0f);
    }
    std::vector<TokenId> history;
    for (size_t i = rng.below(100); i > 0; --i) {
      history.push_back(static_cast<TokenId>(rng.below(kVocab)));
    }
    std::vector<uint64_t> allowed;
    if (rng.below(3) == 0) {
      const uint64_t sparse = rng.below(2) == 0 ? 0 : ~uint64_t{0};  // now and then very few
      for (size_t i = 0; i < 1 + rng.below(16); ++i) {
        allowed.push_back(rng.next() & (sparse | uint64_t{1} << rng.below(64)));
      }
      allowed[0] |= 4;
    }
    std::vector<float> logits(kVocab);
    for (float& logit : logits) {  // some are equal
      logit = static_cast<float>(std::floor(rng.uniform() * 2000) / 100);
    }
    Sampler from_all(params), from_few(params);
    Sampler::Scratch scratch(kVocab, kernels::available_kernels().back()->ops);
    std::vector<TokenId> listed;
    // The history is known only up to guesses behind it.
    std::vector<TokenId> with_guesses = history;
    const size_t n_less = rng.below(4);
    for (size_t i = 0; i < n_less; ++i) {
      with_guesses.push_back(static_cast<TokenId>(rng.below(kVocab)));
    }
    const model::WantedLogits wanted = from_few.wanted(with_guesses, n_less, listed, allowed);
    n_few += wanted.n_best > 0 ? 1 : 0;
    std::vector<float> few = logits, all = logits;
    FakeModel::forget_unwanted(wanted, few);
    const auto want = from_all.draw(all, history, scratch, allowed);
    ASSERT_TRUE(want.has_value());
    const TokenId want_id = want->id;
    const float want_logprob = want->logprob;
    const auto got = from_few.draw(few, history, scratch, allowed);
    ASSERT_TRUE(got.has_value()) << round;
    EXPECT_EQ(got->id, want_id) << round;
    EXPECT_EQ(got->logprob, want_logprob) << round;
  }
  EXPECT_GT(n_few, 300u);  // the test is about those
}

}  // namespace
}  // namespace maru::engine
