// engine/block_pool.h - which KV blocks are in use, and by how many. A second one does the same for
// recurrent states.
//
// Engine takes blocks for its sequences, PrefixCache keeps those of finished ones. It must not know
// what is in a block. Threads: the engine thread.
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

  // A free block, now held once; empty where there is none.
  std::optional<BlockId> take();
  // One more, one less holder. Requires: the block is held.
  void share(BlockId block);
  void release(BlockId block);
  void release(std::span<const BlockId> blocks);

  // Aborts unless every block is either free or held as often as `holders` names it.
  void check_integrity(std::span<const BlockId> holders) const;

 private:
  std::vector<uint32_t> n_refs_;
  std::vector<BlockId> free_;  // last in, first out: warm memory is used again
};

}  // namespace maru::engine
