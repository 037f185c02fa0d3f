// model/kv_cache.h - the memory of one model's sequences: keys and values in blocks of 64
// positions, each with all layers and KV heads; and recurrent states, one per sequence.
//
// A block: for each layer with attention, for each KV head, K then V (kernels/kv_block.h), f16.
// A state: for each layer without attention, the last inputs of its convolution, oldest first
// [kernel - 1, n_conv], then its heads' matrices [n_head, d_k, d_v], float32.
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

// Where the parts of a state are; in floats from its beginning.
struct StateLayout {
  std::vector<size_t> layer_offset;  // [n_layer]
  size_t n_floats = 0;               // 0: the model has no states

  explicit StateLayout(const DecoderSpec& spec);
  size_t n_bytes() const { return n_floats * sizeof(float); }
};

class KvCache final : public KvStore {
 public:
  // Errors: kResourceExhausted where memory cannot hold them.
  static Result<std::unique_ptr<KvStore>> create(const KvLayout& layout, size_t n_blocks,
                                                 const StateLayout& states, size_t n_states);

  size_t n_blocks() const override { return n_blocks_; }
  void copy_block(BlockId from, BlockId to, size_t n_tokens) override;
  void copy_state(StateId from, StateId to) override;
  std::span<std::byte> block_bytes(BlockId block) override;

  // Sets a state to zeros where position is 0; else it must stand there. Then it is moved on.
  void advance_state(StateId state, size_t position, size_t n_tokens);
  float* state(StateId state, size_t layer) {
    return states_ + state * state_layout_.n_floats + state_layout_.layer_offset[layer];
  }

  uint16_t* keys(BlockId block, size_t layer, size_t head) {
    return values_ + block * layout_.block_values + layout_.layer_offset[layer] +
           head * layout_.head_values();
  }
  uint16_t* values(BlockId block, size_t layer, size_t head) {
    return keys(block, layer, head) + layout_.head.k_values();
  }

 private:
  KvCache(const KvLayout& layout, size_t n_blocks, Arena arena, const StateLayout& states,
          size_t n_states, Arena state_arena)
      : layout_(layout),
        n_blocks_(n_blocks),
        arena_(std::move(arena)),
        values_(reinterpret_cast<uint16_t*>(arena_.data())),
        state_layout_(states),
        state_arena_(std::move(state_arena)),
        states_(reinterpret_cast<float*>(state_arena_.data())),
        positions_(n_states, 0) {}

  KvLayout layout_;
  size_t n_blocks_;
  Arena arena_;
  uint16_t* values_;
  StateLayout state_layout_;
  Arena state_arena_;
  float* states_;
  std::vector<size_t> positions_;  // where each state stands
};

}  // namespace maru::model
