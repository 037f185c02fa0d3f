// engine/block_pool.h - which KV blocks are in use, and by how many. A second one does the same for
// recurrent states.
//
// Engine takes blocks for its sequences, PrefixTree keeps those that later prompts may begin with.
// It must not know what is in a block. Threads: the engine thread.
#pragma once
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "model/model.h"

namespace maru::engine {

using model::BlockId;
using model::StateId;
static_assert(std::is_same_v<BlockId, StateId>);  // one kind of pool serves both

class BlockPool {
 public:
  explicit BlockPool(size_t n_blocks);

  size_t n_blocks() const { return n_refs_.size(); }
  size_t n_free() const { return free_.size(); }
  // Kept, and held by nobody else: they become free as soon as they are dropped.
  size_t n_idle() const { return n_idle_; }
  size_t n_available() const { return n_free() + n_idle(); }

  // A free block, now held once; empty where there is none.
  std::optional<BlockId> take();
  // One more, one less holder. Requires: the block is held.
  void share(BlockId block);
  void release(BlockId block);
  void release(std::span<const BlockId> blocks);
  // One more holder, the one that waits for no work: at most one for each block.
  void keep(BlockId block);
  void drop(BlockId block);
  bool is_idle(BlockId block) const { return is_kept_[block] && n_refs_[block] == 1; }

  // Aborts unless every block is either free or held as often as `holders` names it.
  void check_integrity(std::span<const BlockId> holders) const;

 private:
  std::vector<uint32_t> n_refs_;
  std::vector<bool> is_kept_;
  size_t n_idle_ = 0;
  std::vector<BlockId> free_;  // last in, first out: warm memory is used again
};

}  // namespace maru::engine
