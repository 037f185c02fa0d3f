#include "engine/draft_share.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace maru::engine {
namespace {

// n answers, each with guesses of which every one is right with that chance.
std::vector<size_t> shares(std::vector<double> rates, size_t n_columns_max = 1000) {
  std::vector<std::vector<double>> chances(rates.size());
  for (size_t i = 0; i < rates.size(); ++i) {
    for (int k = 1; k <= 15; ++k) chances[i].push_back(std::pow(rates[i], k));
  }
  const std::vector<std::span<const double>> spans(chances.begin(), chances.end());
  return share_drafts(spans, n_columns_max);
}

size_t total(const std::vector<size_t>& shares) {
  return std::accumulate(shares.begin(), shares.end(), size_t{0});
}

TEST(DraftShare, TheLikelierTheMore) {
  EXPECT_EQ(shares({0.05}), std::vector<size_t>{0});
  EXPECT_EQ(shares({0.4}), std::vector<size_t>{2});
  EXPECT_EQ(shares({0.9}), std::vector<size_t>{7});     // the cheap ones
  EXPECT_EQ(shares({0.999}), std::vector<size_t>{15});  // all
}

TEST(DraftShare, OfSeveralTheLikeliestGuessesGoFirst) {
  const auto two = shares({0.9, 0.5});
  EXPECT_GT(two[0], two[1]);
  EXPECT_LE(total(two) + 2, kColumnsTogether);
}

TEST(DraftShare, OfManyNoneGuesses) {
  EXPECT_GT(total(shares(std::vector<double>(4, 0.9))), 0u);
  EXPECT_EQ(total(shares(std::vector<double>(4, 0.1))), 0u);  // alone it would be worth a column
  EXPECT_GT(total(shares({0.1})), 0u);
  for (size_t n = kColumnsTogether; n < 70; ++n) {
    EXPECT_EQ(total(shares(std::vector<double>(n, 0.999))), 0u);
  }
}

TEST(DraftShare, StaysWithinTheStep) {
  EXPECT_EQ(total(shares({0.99, 0.99}, 5)), 3u);
  EXPECT_EQ(total(shares({0.99, 0.99}, 1)), 0u);
  EXPECT_EQ(shares({}), std::vector<size_t>());
}

}  // namespace
}  // namespace maru::engine
