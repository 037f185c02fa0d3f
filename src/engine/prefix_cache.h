// engine/prefix_cache.h - the KV of sequences that ended, for prompts that begin alike.
//
// A chat sends its whole history each turn; what was evaluated before is not evaluated again. Full
// blocks are shared, the last one is copied. The logits do not change by a bit (batch invariance).
// Engine owns it. Keyed by tokens and salt within one engine, which holds one model and KV type.
// Threads: the engine thread.
#pragma once
#include <list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/block_pool.h"
#include "engine/request.h"

namespace maru::engine {

inline constexpr size_t kKeptSequencesMax = 64;

class PrefixCache {
 public:
  // A recurrent state and how many tokens it has seen.
  struct Snapshot {
    size_t n_tokens = 0;
    StateId state = 0;
  };

  PrefixCache(BlockPool& blocks, BlockPool& states) : blocks_(blocks), states_(states) {}

  // Takes over the caller's hold on the blocks and snapshots. Requires: the blocks cover exactly
  // `tokens`; there are snapshots where the model has states, and none where it has not.
  void keep(std::vector<TokenId> tokens, std::vector<BlockId> blocks,
            std::vector<Snapshot> snapshots, std::string salt);

  struct Match {
    size_t n_tokens = 0;
    std::vector<BlockId> blocks;   // that hold them, the last one maybe in part; not yet held
    std::optional<StateId> state;  // at n_tokens, where the model has states; not yet held
  };
  // The longest common beginning with a kept sequence of the same salt; with states, the longest
  // that has a snapshot.
  Match find(std::span<const TokenId> tokens, const std::string& salt);

  // Lets go of the sequence that was used longest ago; false where there is none.
  bool evict();

  size_t n_kept() const { return kept_.size(); }
  void append_holders(std::vector<BlockId>& blocks, std::vector<StateId>& states) const;

 private:
  struct Kept {
    std::vector<TokenId> tokens;
    std::vector<BlockId> blocks;
    std::vector<Snapshot> snapshots;
    std::string salt;
  };

  void release(const Kept& kept);

  BlockPool& blocks_;
  BlockPool& states_;
  std::list<Kept> kept_;  // last used first
};

}  // namespace maru::engine
