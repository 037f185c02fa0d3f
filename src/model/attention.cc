// model/attention.cc - the decoder's attention stage: tiles of queries walk the KV blocks in
// position order.
//
// Each block gives one partial (max, sum, weighted values) per query, folded into the running
// result at once. A query's arithmetic is the same whoever shares its tile: that is the batch
// invariance. Source: Dao et al. 2022 (arXiv:2205.14135), algorithm 1, with blocks of 64 fixed
// positions.
#include "model/attention.h"

#include <algorithm>
#include <limits>

#include "model/decoder.h"

namespace maru::model {
namespace {

using kernels::KeyRange;

// Positions [first, last) that a token at `position` sees, cut to block `block`.
KeyRange visible_keys(size_t position, size_t window, size_t block) {
  const size_t block_begin = block * kBlockTokens;
  const size_t first = window == 0 || position < window ? 0 : position + 1 - window;
  const size_t begin = std::clamp(first, block_begin, block_begin + kBlockTokens);
  const size_t end = std::clamp(position + 1, begin, block_begin + kBlockTokens);
  if (begin >= end) return {0, 0};
  return {static_cast<uint8_t>(begin - block_begin), static_cast<uint8_t>(end - block_begin)};
}

}  // namespace

void Decoder::make_attention_items(size_t i) {
  items_.clear();
  const size_t n_head_kv = spec_.layers[i].n_head_kv;
  const size_t group = spec_.n_head / n_head_kv;
  // With fewer items than threads the heads of a group are shared out: it changes no result.
  const size_t n_split =
      pass_.rows.size() * n_head_kv >= work_.n_threads() ? 1 : std::min(group, work_.n_threads());
  const size_t n_tokens = std::max<size_t>(1, kAttentionRows / group);
  for (const Run& run : pass_.runs) {
    const size_t run_end = run.row_begin + run.n_rows;
    for (size_t row = run.row_begin; row < run_end; row += n_tokens) {
      for (size_t head_kv = 0; head_kv < n_head_kv; ++head_kv) {
        for (size_t s = 0; s < n_split; ++s) {
          items_.push_back({&run, head_kv, head_kv * group + group * s / n_split,
                            head_kv * group + group * (s + 1) / n_split, row,
                            std::min(row + n_tokens, run_end)});
        }
      }
    }
  }
  // Long ones first: workers then finish together.
  std::ranges::reverse(items_);
}

void Decoder::attend(size_t i, KvCache& kv) {
  make_attention_items(i);
  work_.run(items_.size(),
            [&](size_t item, Worker& worker) { attend_item(i, items_[item], kv, worker); });
}

void Decoder::attend_item(size_t i, const AttentionItem& item, KvCache& kv, Worker& worker) {
  const AttentionSizes sizes(spec_);
  const size_t n_head = item.head_end - item.head_begin;
  const size_t n_q = n_head * (item.row_end - item.row_begin);
  float* q = worker.attention;
  float* out = q + sizes.n_rows * sizes.d_k;
  float* part_out = out + sizes.n_rows * sizes.v_stride;
  float* max = part_out + sizes.n_rows * sizes.v_stride;
  float* sum = max + sizes.n_rows;
  float* part_max = sum + sizes.n_rows;
  float* part_sum = part_max + sizes.n_rows;

  // Queries in the order [token][head]; a sink is a key with a score of its own and no value.
  const std::vector<float>& sinks = weights_.layers[i].sinks;
  size_t r = 0;
  for (size_t row = item.row_begin; row < item.row_end; ++row) {
    const float* from = work_.q + row * work_.sizes.n_q + item.head_begin * sizes.d_k;
    std::copy_n(from, n_head * sizes.d_k, q + r * sizes.d_k);
    for (size_t head = item.head_begin; head < item.head_end; ++head, ++r) {
      max[r] = sinks.empty() ? -std::numeric_limits<float>::infinity() : sinks[head];
      sum[r] = sinks.empty() ? 0.0f : 1.0f;
    }
  }
  std::fill_n(out, n_q * sizes.v_stride, 0.0f);

  const size_t window = spec_.layers[i].window;
  const size_t first_position = pass_.rows[item.row_begin].position;
  const size_t last_position = pass_.rows[item.row_end - 1].position;
  const size_t first_key = window == 0 || first_position < window ? 0 : first_position + 1 - window;
  std::vector<KeyRange> keys(n_q);
  for (size_t b = first_key / kBlockTokens; b <= last_position / kBlockTokens; ++b) {
    for (size_t t = 0; t < n_q; ++t) {
      keys[t] = visible_keys(pass_.rows[item.row_begin + t / n_head].position, window, b);
    }
    const BlockId block = item.run->blocks[b];
    work_.ops().attention_block(q, keys.data(), n_q, kv_layout_.head,
                                kv.keys(block, i, item.head_kv), kv.values(block, i, item.head_kv),
                                spec_.attention_softcap, part_out, part_max, part_sum);
    work_.ops().attention_merge(part_out, part_max, part_sum, n_q, sizes.v_stride, out, max, sum);
  }

  for (size_t t = 0; t < n_q; ++t) {
    const size_t row = item.row_begin + t / n_head;
    const size_t head = item.head_begin + t % n_head;
    float* to = work_.attn + row * work_.sizes.n_attn + head * spec_.d_v;
    const float scale = 1.0f / sum[t];
    for (size_t d = 0; d < spec_.d_v; ++d) to[d] = out[t * sizes.v_stride + d] * scale;
    if (!spec_.attention_gate) continue;
    const float* gate = work_.gate + row * work_.sizes.n_gate + head * spec_.d_v;
    work_.ops().sigmoid_mul(gate, to, to, spec_.d_v);
  }
}

}  // namespace maru::model
