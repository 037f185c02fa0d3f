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

}  // namespace

void PrefixCache::keep(std::vector<TokenId> tokens, std::vector<BlockId> blocks, std::string salt) {
  CHECK(blocks.size() == blocks_for(tokens.size()));
  // A kept sequence that is a beginning of the new one can serve nothing more.
  std::erase_if(kept_, [&](const Kept& old) {
    const bool useless =
        old.salt == salt && common_beginning(old.tokens, tokens) == old.tokens.size();
    if (useless) pool_.release(old.blocks);
    return useless;
  });
  kept_.push_front({std::move(tokens), std::move(blocks), std::move(salt)});
  if (kept_.size() > kKeptSequencesMax) evict();
}

PrefixCache::Match PrefixCache::find(std::span<const TokenId> tokens, const std::string& salt) {
  Match match;
  auto best = kept_.end();
  for (auto each = kept_.begin(); each != kept_.end(); ++each) {
    if (each->salt != salt) continue;
    const size_t n = common_beginning(each->tokens, tokens);
    if (n <= match.n_tokens) continue;
    match.n_tokens = n;
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
  pool_.release(kept_.back().blocks);
  kept_.pop_back();
  return true;
}

void PrefixCache::append_holders(std::vector<BlockId>& holders) const {
  for (const Kept& kept : kept_) {
    holders.insert(holders.end(), kept.blocks.begin(), kept.blocks.end());
  }
}

}  // namespace maru::engine
