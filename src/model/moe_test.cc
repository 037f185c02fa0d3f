#include "model/moe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/rng.h"

namespace maru::model {
namespace {

using Experts = std::vector<size_t>;

Experts choose(const MoeSpec& moe, const std::vector<float>& scores,
               const std::vector<float>& bias = {}) {
  Experts chosen;
  choose_experts(moe, scores, bias, chosen);
  return chosen;
}

TEST(ChooseExperts, TakesTheBestAndBreaksTiesByIndex) {
  const MoeSpec moe = {.n_expert = 6, .n_used = 3};
  EXPECT_EQ(choose(moe, {1, 5, 5, 0, 9, 2}), (Experts{4, 1, 2}));
  EXPECT_EQ(choose(moe, {1, 5, 5, 0, 9, 2}, {0, 0, 1, 20, 0, 0}), (Experts{3, 4, 2}));
}

TEST(ChooseExperts, LooksIntoTheBestGroupsOnly) {
  MoeSpec moe = {.n_expert = 8, .n_used = 2, .n_group = 4, .n_group_used = 1};
  const std::vector<float> scores = {0.9f, 0.0f, 0.6f, 0.5f, 0.1f, 0.2f, 0.55f, 0.54f};
  EXPECT_EQ(choose(moe, scores), (Experts{0, 1}));  // the group with the best one
  moe.gating = Gating::kSigmoid;
  EXPECT_EQ(choose(moe, scores), (Experts{2, 3}));  // the group with the best two
  EXPECT_EQ(choose(moe, scores, {0, 0, 0, 0, 3, 0, 0, 0}), (Experts{4, 5}));  // bias counts
  moe.n_group_used = 2;
  moe.n_used = 3;
  EXPECT_EQ(choose(moe, scores), (Experts{2, 6, 7}));
  // A group that is left out is out, even where one of its experts is better than what is in.
  EXPECT_EQ(choose(moe, scores, {-5, -5, -9, 20, -5, -5, -9, 20}), (Experts{7, 3, 2}));
}

// Against the definition: no expert that may be chosen is better than one that was.
TEST(ChooseExperts, AgreesWithTheDefinitionOnRandomScores) {
  Rng rng(1);
  for (int round = 0; round < 2000; ++round) {
    const size_t n_group = 1 + rng.below(4);
    const size_t n_per_group = 1 + rng.below(5);
    MoeSpec moe = {.n_expert = n_group * n_per_group, .n_group = n_group};
    moe.n_group_used = 1 + rng.below(n_group);
    moe.n_used = 1 + rng.below(moe.n_group_used * n_per_group);
    moe.gating = rng.below(2) == 0 ? Gating::kSigmoid : Gating::kSoftmax;
    std::vector<float> scores;
    for (size_t e = 0; e < moe.n_expert; ++e) scores.push_back(rng.uniform());
    const auto group_score = [&](size_t g) {
      std::multiset<float> sorted(scores.begin() + static_cast<ptrdiff_t>(g * n_per_group),
                                  scores.begin() + static_cast<ptrdiff_t>((g + 1) * n_per_group));
      auto last = sorted.rbegin();
      float sum = *last++;
      if (moe.gating == Gating::kSigmoid && last != sorted.rend()) sum += *last;
      return sum;
    };
    const auto allowed = [&](size_t e) {  // fewer groups are better than may be used
      if (n_group == 1) return true;
      size_t n_better = 0;
      for (size_t g = 0; g < n_group; ++g) {
        n_better += group_score(g) > group_score(e / n_per_group) ? 1 : 0;
      }
      return n_better < moe.n_group_used;
    };
    const Experts chosen = choose(moe, scores);
    ASSERT_EQ(chosen.size(), moe.n_used);
    for (size_t k = 0; k < chosen.size(); ++k) {
      ASSERT_TRUE(allowed(chosen[k])) << round;
      if (k > 0) ASSERT_GE(scores[chosen[k - 1]], scores[chosen[k]]);
    }
    for (size_t e = 0; e < moe.n_expert; ++e) {
      if (!allowed(e) || std::ranges::find(chosen, e) != chosen.end()) continue;
      ASSERT_LE(scores[e], scores[chosen.back()]) << round;
    }
  }
}

}  // namespace
}  // namespace maru::model
