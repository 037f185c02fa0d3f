#include "engine/logit_row.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.h"

namespace maru::engine {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
using Entries = std::vector<std::pair<TokenId, float>>;

const kernels::OpsTable& ops() { return kernels::available_kernels().back()->ops; }

// Many equals, some excluded, some damaged.
std::vector<float> random_row(size_t n, Rng& rng) {
  std::vector<float> row(n);
  const uint64_t n_values = 2 + rng.below(1000);
  for (float& logit : row) {
    logit = static_cast<float>(rng.below(n_values)) * 0.01f;
    if (rng.below(50) == 0) logit = -kInf;
    if (rng.below(50) == 0) logit = kNan;
  }
  return row;
}

// All of them with a logit for NaN, sorted.
Entries sorted(const std::vector<float>& row) {
  Entries all;
  for (const float logit : row) {
    all.emplace_back(static_cast<TokenId>(all.size()), std::isnan(logit) ? -kInf : logit);
  }
  std::ranges::sort(all, [](const auto& a, const auto& b) {
    return a.second > b.second || (a.second == b.second && a.first < b.first);
  });
  return all;
}

TEST(LogitRow, FindsWhatASortFinds) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const size_t n = 1 + rng.below(seed % 2 == 0 ? 200 : 9000);
    const std::vector<float> logits = random_row(n, rng);
    LogitRow::Scratch scratch(n);
    const LogitRow row(logits, ops(), scratch);
    const Entries all = sorted(logits);
    EXPECT_EQ(row.best(), all[0].second);
    if (row.best() > -kInf) EXPECT_EQ(row.best_id(), all[0].first);
    for (const size_t k : {size_t{1}, size_t{20}, 1 + rng.below(n + 5)}) {
      Entries found;
      row.for_at_least(row.bound_of_likeliest(k),
                       [&](TokenId id, float logit) { found.emplace_back(id, logit); });
      EXPECT_GE(found.size(), std::min(k, n));
      EXPECT_TRUE(std::ranges::is_sorted(found, {}, &std::pair<TokenId, float>::first));
      Entries top;
      row.top_logprobs(0.0, k, top);
      EXPECT_EQ(top, Entries(all.begin(), all.begin() + static_cast<ptrdiff_t>(std::min(k, n))));
    }
  }
}

TEST(LogitRow, SumsAndFindsMass) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const size_t n = 1 + rng.below(3000);
    std::vector<float> logits = random_row(n, rng);
    logits[rng.below(n)] = 5;
    LogitRow::Scratch scratch(n);
    const LogitRow row(logits, ops(), scratch);
    const float scale = 0.5f + static_cast<float>(rng.uniform());
    std::vector<double> ends;
    double sum = 0, exp_sum = 0;
    for (const float logit : logits) {
      if (!std::isnan(logit)) sum += std::exp((double{logit} - row.best()) * scale);
      if (!std::isnan(logit)) exp_sum += std::exp(double{logit});
      ends.push_back(sum);
    }
    EXPECT_NEAR(row.log_sum_exp(), std::log(exp_sum), 1e-6);
    EXPECT_NEAR(row.sum_weights(scale), sum, 1e-6 * sum);
    for (const double share : {0.0, rng.uniform(), 0.999, 1.0, 1.5}) {
      const auto id = static_cast<size_t>(row.find_mass(share * sum, scale));
      EXPECT_GT(logits[id], -kInf);
      const double wanted = std::min(share, 1.0) * sum;
      EXPECT_GE(ends[id], wanted - 1e-6 * sum);
      EXPECT_LE(id == 0 ? 0 : ends[id - 1], wanted + 1e-6 * sum);
    }
  }
}

TEST(LogitRow, SurvivesWhatADamagedModelGives) {
  LogitRow::Scratch scratch(3);
  for (const std::vector<float>& logits :
       {std::vector<float>{kNan, kNan, kNan}, {-kInf, kNan, -kInf}, {0, kInf, kInf}}) {
    const LogitRow row(logits, ops(), scratch);
    EXPECT_FALSE(std::isfinite(row.best()));
    EXPECT_FALSE(std::isfinite(row.log_sum_exp()));
    EXPECT_LT(row.best_id(), 3);
  }
}

}  // namespace
}  // namespace maru::engine
