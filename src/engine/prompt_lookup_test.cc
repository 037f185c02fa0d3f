#include "engine/prompt_lookup.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace maru::engine {
namespace {

using Ids = std::vector<TokenId>;

Ids guessed(PromptLookup& lookup, const Ids& text, size_t n_max = 8) {
  lookup.follow(text);
  const auto guess = lookup.guess(n_max, 0.01);
  return {guess.tokens.begin(), guess.tokens.end()};
}

TEST(PromptLookup, WhatFollowedFollowsAgain) {
  PromptLookup lookup;
  EXPECT_EQ(guessed(lookup, {1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3}, 4), (Ids{4, 5, 6, 7}));
  EXPECT_EQ(guessed(lookup, {1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3, 8}), Ids());
}

TEST(PromptLookup, OneEqualTokenIsTooFew) {
  PromptLookup lookup;
  EXPECT_EQ(guessed(lookup, {7, 2, 3, 4, 5, 8, 3}), Ids());
  PromptLookup other;
  EXPECT_EQ(guessed(other, {7, 2, 3, 4, 5, 8, 2, 3}, 1), Ids{4});
}

TEST(PromptLookup, TheLongerMatchGoesBeforeTheNewer) {
  PromptLookup lookup;
  const Ids text = {9, 1, 2, 3, 4, 0, 8, 1, 2, 3, 5, 0, 9, 1, 2, 3};
  EXPECT_EQ(guessed(lookup, text, 1), Ids{4});
  PromptLookup other;
  const Ids even = {9, 1, 2, 3, 4, 0, 8, 1, 2, 3, 5, 0, 6, 1, 2, 3};
  EXPECT_EQ(guessed(other, even, 1), Ids{5});
}

TEST(PromptLookup, WhatRepeatsGoesOnRepeating) {
  PromptLookup lookup;
  EXPECT_EQ(guessed(lookup, {5, 1, 2, 1, 2, 1, 2, 1}, 5), (Ids{2, 1, 2, 1, 2}));
}

TEST(PromptLookup, WhatIsExpectedIsGuessedFirstAndEndsWhereItEnds) {
  const Ids prediction = {1, 2, 3, 4, 5};
  PromptLookup lookup(prediction);
  lookup.follow(Ids{1, 2, 3, 6, 0, 1, 2, 3});
  const auto guess = lookup.guess(8, 0.01);
  EXPECT_EQ(Ids(guess.tokens.begin(), guess.tokens.end()), (Ids{4, 5}));
  EXPECT_TRUE(guess.is_predicted);
  // Behind its end nothing is known.
  EXPECT_EQ(guessed(lookup, {1, 2, 3, 6, 0, 1, 2, 3, 4, 5}), Ids());
}

TEST(PromptLookup, TheMoreOftenItIsWrongTheLessItGuesses) {
  PromptLookup lookup;
  Ids text;
  Rng rng(1);
  const auto n_guessed = [&](double least) {
    lookup.follow(text);
    return lookup.guess(15, least).tokens.size();
  };
  // Three tokens that repeat, each time followed by another.
  for (TokenId i = 0; i < 60; ++i) {
    for (const TokenId token : {1, 2, 3}) text.push_back(token);
    if (i > 0) n_guessed(0.05);
    text.push_back(100 + i);
  }
  for (const TokenId token : {1, 2, 3}) text.push_back(token);
  EXPECT_EQ(n_guessed(0.05), 0u);
  // From here on all is copied; nobody evaluated a guess, and yet it is noticed.
  const size_t n = text.size();
  for (size_t i = 4; i < n; ++i) {
    n_guessed(0.05);
    text.push_back(text[i]);
  }
  EXPECT_EQ(n_guessed(0.05), 15u);
}

TEST(PromptLookup, ChancesFall) {
  PromptLookup lookup;
  lookup.follow(Ids{1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3});
  const auto guess = lookup.guess(5, 0.01);
  ASSERT_EQ(guess.chances.size(), 5u);
  for (size_t i = 1; i < 5; ++i) EXPECT_LT(guess.chances[i], guess.chances[i - 1]);
  EXPECT_LE(guess.chances[0], 1);
}

// The table grows, and finds what a search of everything finds.
TEST(PromptLookup, FindsWhatIsThere) {
  Rng rng(3);
  for (int round = 0; round < 50; ++round) {
    PromptLookup lookup;
    Ids text;
    for (size_t i = 0; i < 1500; ++i) {
      text.push_back(static_cast<TokenId>(rng.below(60)));
      lookup.follow(text);
      if (rng.below(40) != 0 || text.size() < 4) continue;
      const auto guess = lookup.guess(1, 0);
      const auto key = std::span(text).last(2);
      const auto found =
          std::ranges::find_end(text.begin(), text.end() - 1, key.begin(), key.end());
      ASSERT_EQ(guess.tokens.empty(), found.empty());
    }
  }
}

}  // namespace
}  // namespace maru::engine
