#include "engine/block_pool.h"

#include "base/check.h"

namespace maru::engine {

BlockPool::BlockPool(size_t n_blocks) : n_refs_(n_blocks, 0), is_kept_(n_blocks, false) {
  free_.reserve(n_blocks);
  for (size_t i = n_blocks; i > 0; --i) free_.push_back(static_cast<BlockId>(i - 1));
}

std::optional<BlockId> BlockPool::take() {
  if (free_.empty()) return std::nullopt;
  const BlockId block = free_.back();
  free_.pop_back();
  n_refs_[block] = 1;
  return block;
}

void BlockPool::share(BlockId block) {
  CHECK(block < n_refs_.size() && n_refs_[block] > 0);
  if (is_idle(block)) --n_idle_;
  ++n_refs_[block];
}

void BlockPool::release(BlockId block) {
  CHECK(block < n_refs_.size() && n_refs_[block] > 0);
  if (--n_refs_[block] == 0) {
    CHECK(!is_kept_[block]);
    free_.push_back(block);
  }
  if (is_idle(block)) ++n_idle_;
}

void BlockPool::release(std::span<const BlockId> blocks) {
  for (const BlockId block : blocks) release(block);
}

void BlockPool::keep(BlockId block) {
  share(block);
  CHECK(!is_kept_[block]);
  is_kept_[block] = true;
}

void BlockPool::drop(BlockId block) {
  CHECK(block < n_refs_.size() && is_kept_[block]);
  if (is_idle(block)) --n_idle_;
  is_kept_[block] = false;
  release(block);
}

void BlockPool::check_integrity(std::span<const BlockId> holders) const {
  std::vector<uint32_t> n_refs(n_refs_.size(), 0);
  for (const BlockId block : holders) {
    CHECK(block < n_refs.size());
    ++n_refs[block];
  }
  CHECK(n_refs == n_refs_);
  size_t n_idle = 0;
  for (size_t i = 0; i < n_refs_.size(); ++i) {
    if (is_idle(static_cast<BlockId>(i))) ++n_idle;
  }
  CHECK(n_idle == n_idle_);
  for (const BlockId block : free_) {
    CHECK(n_refs[block] == 0);
    n_refs[block] = 1;  // a block is in the free list once
  }
  for (const uint32_t n : n_refs) CHECK(n > 0);  // and nowhere lost
}

}  // namespace maru::engine
