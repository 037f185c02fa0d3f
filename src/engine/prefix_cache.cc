#include "engine/prefix_cache.h"

#include <algorithm>

#include "base/check.h"

namespace maru::engine {
namespace {

size_t common_beginning(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

size_t blocks_for(size_t n_tokens) {
  return (n_tokens + model::kBlockTokens - 1) / model::kBlockTokens;
}

// Where a prompt that shares `n_common` tokens can go on from; empty where it cannot.
std::optional<PrefixCache::Snapshot> last_snapshot(
    const std::vector<PrefixCache::Snapshot>& snapshots, size_t n_common) {
  std::optional<PrefixCache::Snapshot> best;
  for (const auto& snapshot : snapshots) {
    if (snapshot.n_tokens > n_common) continue;
    if (!best || snapshot.n_tokens > best->n_tokens) best = snapshot;
  }
  return best;
}

}  // namespace

void PrefixCache::release(const Kept& kept) {
  blocks_.release(kept.blocks);
  for (const Snapshot& snapshot : kept.snapshots) states_.release(snapshot.state);
}

void PrefixCache::keep(std::vector<TokenId> tokens, std::vector<BlockId> blocks,
                       std::vector<Snapshot> snapshots, std::string salt) {
  CHECK(blocks.size() == blocks_for(tokens.size()));
  // A kept sequence that is a beginning of the new one can serve nothing more, unless it has a
  // snapshot where the new one has none.
  std::erase_if(kept_, [&](const Kept& old) {
    const bool useless = old.salt == salt &&
                         common_beginning(old.tokens, tokens) == old.tokens.size() &&
                         std::ranges::all_of(old.snapshots, [&](const Snapshot& snapshot) {
                           return std::ranges::find(snapshots, snapshot.n_tokens,
                                                    &Snapshot::n_tokens) != snapshots.end();
                         });
    if (useless) release(old);
    return useless;
  });
  kept_.push_front({std::move(tokens), std::move(blocks), std::move(snapshots), std::move(salt)});
  if (kept_.size() > kKeptSequencesMax) evict();
}

PrefixCache::Match PrefixCache::find(std::span<const TokenId> tokens, const std::string& salt) {
  Match match;
  auto best = kept_.end();
  for (auto each = kept_.begin(); each != kept_.end(); ++each) {
    if (each->salt != salt) continue;
    size_t n = common_beginning(each->tokens, tokens);
    std::optional<StateId> state;
    if (!each->snapshots.empty()) {
      const auto snapshot = last_snapshot(each->snapshots, n);
      if (!snapshot) continue;
      n = snapshot->n_tokens;
      state = snapshot->state;
    }
    if (n <= match.n_tokens) continue;
    match.n_tokens = n;
    match.state = state;
    best = each;
  }
  if (best == kept_.end()) return match;
  match.blocks.assign(best->blocks.begin(),
                      best->blocks.begin() + static_cast<ptrdiff_t>(blocks_for(match.n_tokens)));
  kept_.splice(kept_.begin(), kept_, best);
  return match;
}

bool PrefixCache::evict() {
  if (kept_.empty()) return false;
  release(kept_.back());
  kept_.pop_back();
  return true;
}

void PrefixCache::append_holders(std::vector<BlockId>& blocks, std::vector<StateId>& states) const {
  for (const Kept& kept : kept_) {
    blocks.insert(blocks.end(), kept.blocks.begin(), kept.blocks.end());
    for (const Snapshot& snapshot : kept.snapshots) states.push_back(snapshot.state);
  }
}

}  // namespace maru::engine
