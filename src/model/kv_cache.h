// model/kv_cache.h - the memory of one model's keys and values: blocks of 64 positions, each with
// all layers and KV heads.
//
// A block: for each layer with attention, for each KV head, K then V (kernels/kv_block.h), f16.
// Owned by engine/ as a KvStore; written and read by the decoder. Threads: disjoint positions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kv_block.h"
#include "model/arena.h"
#include "model/model.h"
#include "model/spec.h"

namespace maru::model {

// Where the parts of a block are; in f16 values from its beginning.
struct KvLayout {
  kernels::KvShape head;
  std::vector<size_t> layer_offset;  // [n_layer]
  std::vector<size_t> n_head_kv;     // [n_layer]
  size_t block_values = 0;

  explicit KvLayout(const DecoderSpec& spec);
  size_t head_values() const { return head.k_values() + head.v_values(); }
  size_t block_bytes() const { return block_values * sizeof(uint16_t); }
};

class KvCache final : public KvStore {
 public:
  static Result<std::unique_ptr<KvStore>> create(const KvLayout& layout, size_t n_blocks);

  size_t n_blocks() const override { return n_blocks_; }
  void copy_block(BlockId from, BlockId to, size_t n_tokens) override;

  uint16_t* keys(BlockId block, size_t layer, size_t head) {
    return values_ + block * layout_.block_values + layout_.layer_offset[layer] +
           head * layout_.head_values();
  }
  uint16_t* values(BlockId block, size_t layer, size_t head) {
    return keys(block, layer, head) + layout_.head.k_values();
  }

 private:
  KvCache(const KvLayout& layout, size_t n_blocks, Arena arena)
      : layout_(layout),
        n_blocks_(n_blocks),
        arena_(std::move(arena)),
        values_(reinterpret_cast<uint16_t*>(arena_.data())) {}

  KvLayout layout_;
  size_t n_blocks_;
  Arena arena_;
  uint16_t* values_;
};

}  // namespace maru::model
