#include "engine/draft_share.h"

#include <algorithm>

namespace maru::engine {
namespace {

double cost_of_next(size_t n_columns) {
  return n_columns < kColumnsCheap ? kColumnCost : kColumnCostBeyond;
}

}  // namespace

std::vector<size_t> share_drafts(std::span<const std::span<const double>> chances,
                                 size_t n_columns_max) {
  std::vector<size_t> shares(chances.size(), 0);
  const size_t n_most =
      std::min(n_columns_max, chances.size() == 1 ? kColumnsAlone : kColumnsTogether);
  double n_expected = static_cast<double>(chances.size());
  double time = 1;
  for (size_t n = 1; n < chances.size(); ++n) time += cost_of_next(n);
  for (size_t n_columns = chances.size(); n_columns < n_most; ++n_columns) {
    size_t best = 0;
    double chance = 0;
    for (size_t i = 0; i < chances.size(); ++i) {
      if (shares[i] == chances[i].size() || chances[i][shares[i]] <= chance) continue;
      best = i;
      chance = chances[i][shares[i]];
    }
    const double cost = cost_of_next(n_columns);
    if (chance * time <= cost * n_expected) break;
    ++shares[best];
    n_expected += chance;
    time += cost;
  }
  return shares;
}

}  // namespace maru::engine
