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

Result<std::unique_ptr<KvStore>> KvCache::create(const KvLayout& layout, size_t n_blocks) {
  if (n_blocks == 0 || n_blocks > UINT32_MAX || layout.block_bytes() > SIZE_MAX / 2 / n_blocks) {
    return Error::exhausted(fmt::format("{} KV blocks are more than memory can hold", n_blocks));
  }
  MARU_TRY(arena, Arena::create(layout.block_bytes() * n_blocks));
  return std::unique_ptr<KvStore>(new KvCache(layout, n_blocks, std::move(arena)));
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
