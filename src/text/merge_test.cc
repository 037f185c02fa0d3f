#include "text/merge.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "text/pair_map.h"

namespace maru::text {
namespace {

using Pairs = std::map<std::pair<TokenId, TokenId>, Merge>;

std::vector<TokenId> merged(const std::vector<TokenId>& ids, const Pairs& pairs, size_t* n_steps) {
  Merger merger;
  for (size_t i = 0; i < ids.size(); ++i) merger.push(static_cast<uint32_t>(i), 1, ids[i]);
  merger.run([&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const auto at = pairs.find({left.id, right.id});
    if (at == pairs.end()) return std::nullopt;
    return at->second;
  });
  std::vector<TokenId> out;
  for (const Symbol& symbol : merger.symbols()) {
    if (symbol.n_bytes > 0) out.push_back(symbol.id);
  }
  if (n_steps != nullptr) *n_steps = merger.n_steps();
  return out;
}

// The definition: again and again, the best pair anywhere, the leftmost of equal ones.
std::vector<TokenId> merged_naively(std::vector<TokenId> ids, const Pairs& pairs) {
  while (true) {
    size_t best = ids.size();
    uint32_t best_rank = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto at = pairs.find({ids[i], ids[i + 1]});
      if (at == pairs.end()) continue;
      if (best == ids.size() || at->second.rank < best_rank) {
        best = i;
        best_rank = at->second.rank;
      }
    }
    if (best == ids.size()) return ids;
    ids[best] = pairs.at({ids[best], ids[best + 1]}).id;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST(Merger, DoesWhatTheDefinitionSays) {
  Rng rng(3);
  for (int round = 0; round < 2000; ++round) {
    Pairs pairs;
    TokenId next = 4;
    for (uint32_t rank = 0; rank < 12; ++rank) {
      const auto left = static_cast<TokenId>(rng.below(static_cast<uint64_t>(next)));
      const auto right = static_cast<TokenId>(rng.below(static_cast<uint64_t>(next)));
      // Two merges in three share their rank with the one before.
      pairs.emplace(std::pair(left, right), Merge{rank / 3, next++});
    }
    std::vector<TokenId> ids;
    for (size_t n = rng.below(40); n > 0; --n) ids.push_back(static_cast<TokenId>(rng.below(4)));
    ASSERT_EQ(merged(ids, pairs, nullptr), merged_naively(ids, pairs)) << round;
  }
}

// Each symbol is looked at a bounded number of times, however long the run.
TEST(Merger, StepsGrowWithTheLength) {
  Pairs doubling;  // a a -> b, b b -> c, ...: the deepest tree of merges
  for (TokenId i = 0; i < 20; ++i) doubling[{i, i}] = Merge{static_cast<uint32_t>(i), i + 1};
  Pairs growing;  // ab, aba, abab, ...: the longest chain
  growing[{0, 1}] = {0, 2};
  growing[{2, 2}] = {1, 3};
  growing[{3, 2}] = {2, 3};
  for (const Pairs& pairs : {doubling, growing}) {
    for (const size_t n : {size_t{1000}, size_t{100'000}}) {
      std::vector<TokenId> ids;
      for (size_t i = 0; i < n; ++i) {
        ids.push_back(pairs.size() == 3 ? static_cast<TokenId>(i % 2) : 0);
      }
      size_t n_steps = 0;
      EXPECT_LT(merged(ids, pairs, &n_steps).size(), n / 2);
      EXPECT_LE(n_steps, 3 * n);
    }
  }
}

TEST(PairMap, AgreesWithAMap) {
  Rng rng(5);
  Pairs expected;
  PairMap map(2000);
  for (uint32_t i = 0; i < 2000; ++i) {
    const auto left = static_cast<TokenId>(rng.below(60));
    const auto right = static_cast<TokenId>(rng.below(60));
    const Merge merge{i, static_cast<TokenId>(i)};
    map.insert(left, right, merge);
    expected.emplace(std::pair(left, right), merge);
  }
  for (TokenId left = 0; left < 61; ++left) {
    for (TokenId right = 0; right < 61; ++right) {
      const auto at = expected.find({left, right});
      const auto found = map.find(left, right);
      ASSERT_EQ(found.has_value(), at != expected.end());
      if (found) ASSERT_EQ(found->rank, at->second.rank);
    }
  }
}

}  // namespace
}  // namespace maru::text
