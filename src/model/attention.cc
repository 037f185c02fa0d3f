// model/attention.cc - the decoder's attention stage: tiles of queries walk the KV blocks in
// position order.
//
// Each span of four blocks gives one partial (max, sum, weighted values) per query, folded into the
// running result in position order: at once, or, where a tile's spans are shared out among workers,
// by the worker that finishes last. A query's arithmetic is the same either way, and whoever shares
// its tile: that is the batch invariance. Source: Dao et al. 2022 (arXiv:2205.14135), algorithm 1,
// with spans at fixed positions.
#include "model/attention.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "model/decoder.h"

namespace maru::model {
namespace {

using kernels::KeyRange;
using kernels::kSpanBlocks;
using kernels::kSpanTokens;

// A worker should find so many items: they end at different times otherwise.
constexpr size_t kItemsPerThread = 8;

size_t first_visible(size_t position, size_t window) {
  return window == 0 || position < window ? 0 : position + 1 - window;
}

// Positions that a token at `position` sees, cut to span `span`.
KeyRange visible_keys(size_t position, size_t window, size_t span) {
  const size_t span_begin = span * kSpanTokens;
  const size_t begin =
      std::clamp(first_visible(position, window), span_begin, span_begin + kSpanTokens);
  const size_t end = std::clamp(position + 1, begin, span_begin + kSpanTokens);
  if (begin >= end) return {0, 0};
  return {static_cast<uint16_t>(begin - span_begin), static_cast<uint16_t>(end - span_begin)};
}

}  // namespace

void Decoder::make_attention_tiles(size_t i) {
  attention_tiles_.clear();
  const size_t n_head_kv = spec_.layers[i].n_head_kv;
  const size_t window = spec_.layers[i].window;
  const size_t group = spec_.n_head / n_head_kv;
  // With fewer tiles than threads the heads of a group are shared out: it changes no result.
  const size_t n_split =
      pass_.rows.size() * n_head_kv >= work_.n_threads() ? 1 : std::min(group, work_.n_threads());
  const size_t n_tokens = std::max<size_t>(1, kAttentionRows / group);
  for (const Run& run : pass_.runs) {
    const size_t run_end = run.row_begin + run.n_rows;
    for (size_t row = run.row_begin; row < run_end; row += n_tokens) {
      const size_t row_end = std::min(row + n_tokens, run_end);
      const size_t span_begin = first_visible(pass_.rows[row].position, window) / kSpanTokens;
      const size_t span_end = pass_.rows[row_end - 1].position / kSpanTokens + 1;
      for (size_t head_kv = 0; head_kv < n_head_kv; ++head_kv) {
        for (size_t s = 0; s < n_split; ++s) {
          attention_tiles_.push_back({&run, head_kv, head_kv * group + group * s / n_split,
                                      head_kv * group + group * (s + 1) / n_split, row, row_end,
                                      span_begin, span_end});
        }
      }
    }
  }
}

void Decoder::make_attention_items() {
  items_.clear();
  size_t n_spans = 0;
  for (const AttentionTile& tile : attention_tiles_) n_spans += tile.span_end - tile.span_begin;
  const size_t n_item_spans = std::max<size_t>(1, n_spans / (kItemsPerThread * work_.n_threads()));
  const AttentionSizes sizes(spec_);
  size_t n_partials = 0;
  for (size_t t = 0; t < attention_tiles_.size(); ++t) {
    AttentionTile& tile = attention_tiles_[t];
    const size_t n = tile.span_end - tile.span_begin;
    const size_t n_pieces = (n + n_item_spans - 1) / n_item_spans;
    for (size_t piece = 0; piece < n_pieces; ++piece) {
      items_.push_back({t, tile.span_begin + n * piece / n_pieces,
                        tile.span_begin + n * (piece + 1) / n_pieces});
    }
    if (n_pieces == 1) continue;
    tile.is_shared = true;
    tile.n_pieces_left = static_cast<uint32_t>(n_pieces);
    tile.partials_begin = n_partials;
    n_partials += n * sizes.partial_floats(tile.n_q());
  }
  if (partials_.size() < n_partials) partials_.resize(n_partials);
  // Long ones first: workers then finish together.
  std::ranges::reverse(items_);
}

void Decoder::attend(size_t i, KvCache& kv) {
  make_attention_tiles(i);
  make_attention_items();
  work_.run(items_.size(),
            [&](size_t item, Worker& worker) { attend_item(i, items_[item], kv, worker); });
}

Decoder::AttentionMemory Decoder::attention_memory(Worker& worker) const {
  const AttentionSizes sizes(spec_);
  AttentionMemory memory;
  memory.q = worker.attention;
  memory.out = memory.q + sizes.n_rows * sizes.d_k;
  memory.max = memory.out + sizes.n_rows * sizes.v_stride;
  memory.sum = memory.max + sizes.n_rows;
  memory.part_out = memory.sum + sizes.n_rows;
  memory.part_max = memory.part_out + sizes.n_rows * sizes.v_stride;
  memory.part_sum = memory.part_max + sizes.n_rows;
  memory.keys = reinterpret_cast<KeyRange*>(memory.part_sum + sizes.n_rows);
  static_assert(sizeof(KeyRange) <= sizeof(float) && alignof(KeyRange) <= alignof(float));
  return memory;
}

void Decoder::attend_item(size_t i, const AttentionItem& item, KvCache& kv, Worker& worker) {
  AttentionTile& tile = attention_tiles_[item.tile];
  AttentionMemory memory = attention_memory(worker);
  const size_t d_k = spec_.d_k;
  float* to = memory.q;  // in the order [token][head]
  for (size_t row = tile.row_begin; row < tile.row_end; ++row) {
    const float* from = work_.q + row * work_.sizes.n_q + tile.head_begin * d_k;
    to = std::copy_n(from, tile.n_head() * d_k, to);
  }
  if (!tile.is_shared) {
    begin_attention(i, tile, memory);
    for (size_t span = item.span_begin; span < item.span_end; ++span) {
      attend_span(i, tile, span, kv, memory);
      merge_partial(tile, memory);
    }
    return finish_attention(tile, memory);
  }

  const size_t n_q = tile.n_q();
  const AttentionSizes sizes(spec_);
  const auto use_partial = [&](size_t span) {
    memory.part_out = partials_.data() + tile.partials_begin +
                      (span - tile.span_begin) * sizes.partial_floats(n_q);
    memory.part_max = memory.part_out + n_q * sizes.v_stride;
    memory.part_sum = memory.part_max + n_q;
  };
  for (size_t span = item.span_begin; span < item.span_end; ++span) {
    use_partial(span);
    attend_span(i, tile, span, kv, memory);
  }
  // Whoever is last sees what the others wrote.
  if (std::atomic_ref(tile.n_pieces_left).fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  begin_attention(i, tile, memory);
  for (size_t span = tile.span_begin; span < tile.span_end; ++span) {
    use_partial(span);
    merge_partial(tile, memory);
  }
  finish_attention(tile, memory);
}

void Decoder::attend_span(size_t i, const AttentionTile& tile, size_t span, KvCache& kv,
                          const AttentionMemory& memory) {
  const size_t window = spec_.layers[i].window;
  const size_t n_q = tile.n_q();
  for (size_t t = 0; t < n_q; ++t) {
    const size_t position = pass_.rows[tile.row_begin + t / tile.n_head()].position;
    memory.keys[t] = visible_keys(position, window, span);
  }
  const size_t first = first_visible(pass_.rows[tile.row_begin].position, window) / kBlockTokens;
  const size_t last = pass_.rows[tile.row_end - 1].position / kBlockTokens;
  kernels::KvSpan blocks;
  for (size_t b = 0; b < kSpanBlocks; ++b) {
    const size_t block = span * kSpanBlocks + b;
    if (block < first || block > last) continue;
    blocks.k[b] = kv.keys(tile.run->blocks[block], i, tile.head_kv);
    blocks.v[b] = kv.values(tile.run->blocks[block], i, tile.head_kv);
  }
  const size_t next = (span + 1) * kSpanBlocks;
  if (next <= last) blocks.next = kv.keys(tile.run->blocks[next], i, tile.head_kv);
  work_.ops().attention_span(memory.q, memory.keys, n_q, kv_layout_.head, blocks,
                             spec_.attention_softcap * kernels::kScoreUnit, memory.part_out,
                             memory.part_max, memory.part_sum);
}

// A sink is a key with a score of its own and no value.
void Decoder::begin_attention(size_t i, const AttentionTile& tile,
                              const AttentionMemory& memory) const {
  const std::vector<float>& sinks = weights_.layers[i].sinks;
  for (size_t t = 0; t < tile.n_q(); ++t) {
    const size_t head = tile.head_begin + t % tile.n_head();
    memory.max[t] =
        sinks.empty() ? -std::numeric_limits<float>::infinity() : sinks[head] * kernels::kScoreUnit;
    memory.sum[t] = sinks.empty() ? 0.0f : 1.0f;
  }
  std::fill_n(memory.out, tile.n_q() * kv_layout_.head.v_stride(), 0.0f);
}

void Decoder::merge_partial(const AttentionTile& tile, const AttentionMemory& memory) const {
  work_.ops().attention_merge(memory.part_out, memory.part_max, memory.part_sum, tile.n_q(),
                              kv_layout_.head.v_stride(), memory.out, memory.max, memory.sum);
}

void Decoder::finish_attention(const AttentionTile& tile, const AttentionMemory& memory) {
  const size_t v_stride = kv_layout_.head.v_stride();
  for (size_t t = 0; t < tile.n_q(); ++t) {
    const size_t row = tile.row_begin + t / tile.n_head();
    const size_t head = tile.head_begin + t % tile.n_head();
    float* to = work_.attn + row * work_.sizes.n_attn + head * spec_.d_v;
    const float scale = 1.0f / memory.sum[t];
    for (size_t d = 0; d < spec_.d_v; ++d) to[d] = memory.out[t * v_stride + d] * scale;
    if (!spec_.attention_gate) continue;
    const float* gate = work_.gate + row * work_.sizes.n_gate + head * spec_.d_v;
    work_.ops().sigmoid_mul(gate, to, to, spec_.d_v);
  }
}

}  // namespace maru::model
