// engine/prefix_cache.h - the KV of sequences that ended, for prompts that begin alike.
//
// A chat sends its whole history each turn; what was evaluated before is not evaluated again. Full
// blocks are shared, the last one is copied. The logits do not change by a bit (batch invariance).
// Engine owns it. Keyed by tokens and salt within one engine, which holds one model and KV type.
// Threads: the engine thread.
#pragma once
#include <list>
#include <span>
#include <string>
#include <vector>

#include "engine/block_pool.h"
#include "engine/request.h"

namespace maru::engine {

inline constexpr size_t kKeptSequencesMax = 64;

class PrefixCache {
 public:
  explicit PrefixCache(BlockPool& pool) : pool_(pool) {}

  // Takes over the caller's hold on the blocks. Requires: they cover exactly `tokens`.
  void keep(std::vector<TokenId> tokens, std::vector<BlockId> blocks, std::string salt);

  struct Match {
    size_t n_tokens = 0;
    std::vector<BlockId> blocks;  // that hold them, the last one maybe in part; not yet held
  };
  // The longest common beginning with a kept sequence of the same salt.
  Match find(std::span<const TokenId> tokens, const std::string& salt);

  // Lets go of the sequence that was used longest ago; false where there is none.
  bool evict();

  size_t n_kept() const { return kept_.size(); }
  void append_holders(std::vector<BlockId>& holders) const;

 private:
  struct Kept {
    std::vector<TokenId> tokens;
    std::vector<BlockId> blocks;
    std::string salt;
  };

  BlockPool& pool_;
  std::list<Kept> kept_;  // last used first
};

}  // namespace maru::engine
