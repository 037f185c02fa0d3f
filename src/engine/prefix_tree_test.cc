#include "engine/prefix_tree.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"

namespace maru::engine {
namespace {

using model::blocks_for;
using Tokens = std::vector<TokenId>;

Tokens counting(size_t n, TokenId first = 0) {
  Tokens tokens;
  for (size_t i = 0; i < n; ++i) tokens.push_back(first + static_cast<TokenId>(i));
  return tokens;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class PrefixTreeTest : public testing::Test {
 protected:
  std::vector<BlockId> take(size_t n_tokens) {
    std::vector<BlockId> blocks;
    for (size_t i = 0; i < blocks_for(n_tokens); ++i) blocks.push_back(*pool_.take());
    return blocks;
  }
  // As a sequence that ran and ended.
  void run(const Tokens& tokens, const std::string& salt = "") {
    auto blocks = take(tokens.size());
    tree_.insert(tokens, salt, blocks);
    pool_.release(blocks);
    check();
  }
  void check() {
    tree_.check_integrity();
    std::vector<BlockId> blocks;
    std::vector<StateId> states;
    tree_.append_holders(blocks, states);
    pool_.check_integrity(blocks);
  }

  BlockPool pool_{16};
  BlockPool states_{4};
  PrefixTree tree_{pool_, states_, false};
};

TEST_F(PrefixTreeTest, TextsThatForkShareTheirBeginning) {
  const Tokens system = counting(130);
  run(joined(system, counting(100, 1000)));
  run(joined(system, counting(100, 2000)));
  EXPECT_EQ(tree_.n_kept(), 2u + 2u + 2u);  // two common blocks, then each its own
  EXPECT_EQ(pool_.n_free(), 10u);
  EXPECT_EQ(pool_.n_idle(), 6u);
  EXPECT_EQ(tree_.find(joined(system, counting(70, 2000)), "").n_tokens, 200u);
  EXPECT_EQ(tree_.find(joined(system, counting(70, 3000)), "").n_tokens, 130u);
  EXPECT_EQ(tree_.find(system, "other").n_tokens, 0u);
}

TEST_F(PrefixTreeTest, TheLongerOfTwoServesForBoth) {
  run(counting(70));
  run(counting(100));
  EXPECT_EQ(tree_.n_kept(), 2u);
  run(counting(80));
  EXPECT_EQ(tree_.n_kept(), 2u);
  EXPECT_EQ(tree_.find(counting(90), "").n_tokens, 90u);
  run(counting(200));
  EXPECT_EQ(tree_.n_kept(), 4u);
}

TEST_F(PrefixTreeTest, GoesLeavesFirstAndTheLongestUnusedFirst) {
  run(counting(128));
  run(counting(64, 500), "b");
  tree_.find(counting(64), "");
  ASSERT_TRUE(tree_.evict());
  EXPECT_EQ(tree_.find(counting(128), "").n_tokens, 64u);
  ASSERT_TRUE(tree_.evict());
  EXPECT_EQ(tree_.find(counting(64, 500), "b").n_tokens, 0u);
  ASSERT_TRUE(tree_.evict());
  EXPECT_FALSE(tree_.evict());
  check();
  EXPECT_EQ(pool_.n_free(), 16u);
}

TEST_F(PrefixTreeTest, WhatRunsIsNotEvicted) {
  auto blocks = take(128);
  tree_.insert(counting(128), "", blocks);
  EXPECT_FALSE(tree_.evict());
  pool_.release(blocks);
  EXPECT_TRUE(tree_.evict());
}

TEST_F(PrefixTreeTest, OfTwoThatComputedTheSameOneBlockIsFree) {
  auto first = take(64), second = take(64);
  tree_.insert(counting(64), "", first);
  tree_.insert(counting(64), "", second);
  EXPECT_EQ(first, second);
  EXPECT_EQ(pool_.n_free(), 15u);
  pool_.release(first);
  pool_.release(second);
  check();
}

TEST_F(PrefixTreeTest, ForgetsOnlyWhatNothingElseLeadsTo) {
  run(counting(200));
  run(joined(counting(128), counting(10, 700)));
  tree_.forget(counting(200), "", 64);
  check();
  EXPECT_EQ(tree_.find(counting(200), "").n_tokens, 128u);
  tree_.forget(joined(counting(128), counting(10, 700)), "", 0);
  check();
  EXPECT_EQ(tree_.n_kept(), 0u);
}

// Against a list of all that was kept, without eviction.
TEST_F(PrefixTreeTest, FindsTheLongestCommonBeginning) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    BlockPool pool(400), states(1);
    PrefixTree tree(pool, states, false);
    std::vector<std::pair<Tokens, std::string>> all;
    const auto random_text = [&] {
      Tokens tokens;
      if (!all.empty() && rng.below(4) != 0) {
        const Tokens& old = all[rng.below(all.size())].first;
        tokens.assign(old.begin(), old.begin() + static_cast<ptrdiff_t>(rng.below(old.size() + 1)));
      }
      const size_t n = 1 + rng.below(150);
      for (size_t i = 0; i < n; ++i) tokens.push_back(static_cast<TokenId>(rng.below(2)));
      return tokens;
    };
    for (int i = 0; i < 20; ++i) {
      const Tokens tokens = random_text();
      const std::string salt = rng.below(4) == 0 ? "b" : "a";
      const auto match = tree.find(tokens, salt);
      size_t expected = 0;
      for (const auto& [known, its_salt] : all) {
        if (its_salt != salt) continue;
        const auto n = std::ranges::mismatch(known, tokens).in1 - known.begin();
        expected = std::max(expected, static_cast<size_t>(n));
      }
      ASSERT_EQ(match.n_tokens, expected) << "seed " << seed;
      ASSERT_EQ(match.blocks.size(), blocks_for(expected));
      if (tokens.size() > 200) continue;
      std::vector<BlockId> blocks;
      for (size_t b = 0; b < blocks_for(tokens.size()); ++b) blocks.push_back(*pool.take());
      tree.insert(tokens, salt, blocks);
      pool.release(blocks);
      all.emplace_back(tokens, salt);
      tree.check_integrity();
    }
  }
}

TEST_F(PrefixTreeTest, StatesAreFoundWhereTheyStandAndMoveToTheLongerText) {
  PrefixTree tree(pool_, states_, true);
  auto blocks = take(100);
  tree.insert(counting(64), "", blocks);
  tree.insert_state(counting(64), "", *states_.take());
  tree.insert(counting(100), "", blocks);
  tree.insert_state(counting(100), "", *states_.take());
  pool_.release(blocks);
  EXPECT_EQ(tree.find(counting(99), "").n_tokens, 64u);
  EXPECT_EQ(tree.find(counting(110), "").n_tokens, 100u);
  blocks = take(120);
  tree.insert(counting(120), "", blocks);
  pool_.release(blocks);
  EXPECT_EQ(tree.find(counting(110), "").n_tokens, 100u);
  EXPECT_TRUE(tree.evict_state());  // that at 64 was used longest ago
  EXPECT_EQ(tree.find(counting(99), "").n_tokens, 0u);
  tree.check_integrity();
}

}  // namespace
}  // namespace maru::engine
