#include "model/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>

namespace maru::model {

KvLayout::KvLayout(const DecoderSpec& spec) : head{spec.d_k, spec.d_v} {
  for (const LayerSpec& layer : spec.layers) {
    layer_offset.push_back(block_values);
    n_head_kv.push_back(layer.n_head_kv);
    block_values += layer.n_head_kv * head_values();
  }
}

StateLayout::StateLayout(const DecoderSpec& spec) {
  const RecurrentSpec& r = spec.recurrent;
  for (size_t i = 0; i < spec.n_layer(); ++i) {
    layer_offset.push_back(n_floats);
    if (!spec.attends(i)) n_floats += (r.kernel - 1) * spec.n_conv() + r.n_head * r.d_k * r.d_v;
  }
}

Result<std::unique_ptr<KvStore>> KvCache::create(const KvLayout& layout, size_t n_blocks,
                                                 const StateLayout& states, size_t n_states) {
  const size_t block_bytes = std::max<size_t>(1, layout.block_bytes());
  if (n_blocks == 0 || n_blocks > UINT32_MAX || block_bytes > SIZE_MAX / 2 / n_blocks) {
    return Error::exhausted(fmt::format("{} KV blocks are more than memory can hold", n_blocks));
  }
  const size_t state_bytes = std::max<size_t>(1, states.n_bytes());
  if (states.n_floats == 0) {
    n_states = 0;
  } else if (n_states == 0 || n_states > UINT32_MAX || state_bytes > SIZE_MAX / 2 / n_states) {
    return Error::exhausted(
        fmt::format("{} recurrent states are more than memory can hold", n_states));
  }
  MARU_TRY(arena, Arena::create(block_bytes * n_blocks));
  MARU_TRY(state_arena, Arena::create(state_bytes * std::max<size_t>(1, n_states)));
  return std::unique_ptr<KvStore>(
      new KvCache(layout, n_blocks, std::move(arena), states, n_states, std::move(state_arena)));
}

std::span<std::byte> KvCache::block_bytes(BlockId block) {
  CHECK(block < n_blocks_);
  return std::as_writable_bytes(
      std::span(values_ + block * layout_.block_values, layout_.block_values));
}

void KvCache::copy_state(StateId from, StateId to) {
  CHECK(from < positions_.size() && to < positions_.size());
  if (from == to) return;
  std::copy_n(states_ + from * state_layout_.n_floats, state_layout_.n_floats,
              states_ + to * state_layout_.n_floats);
  positions_[to] = positions_[from];
}

void KvCache::advance_state(StateId state, size_t position, size_t n_tokens) {
  if (state_layout_.n_floats == 0) return;
  CHECK(state < positions_.size() && (position == 0 || positions_[state] == position));
  if (position == 0) {
    std::fill_n(states_ + state * state_layout_.n_floats, state_layout_.n_floats, 0.0f);
  }
  positions_[state] = position + n_tokens;
}

void KvCache::copy_block(BlockId from, BlockId to, size_t n_tokens) {
  CHECK(from < n_blocks_ && to < n_blocks_ && n_tokens <= kBlockTokens);
  if (from == to) return;
  const kernels::KvShape& shape = layout_.head;
  for (size_t layer = 0; layer < layout_.n_head_kv.size(); ++layer) {
    for (size_t head = 0; head < layout_.n_head_kv[layer]; ++head) {
      const uint16_t* k = keys(from, layer, head);
      for (size_t d = 0; d < shape.d_k; ++d) {
        std::copy_n(k + d * kBlockTokens, n_tokens, keys(to, layer, head) + d * kBlockTokens);
      }
      std::copy_n(values(from, layer, head), n_tokens * shape.v_stride(), values(to, layer, head));
    }
  }
}

}  // namespace maru::model
