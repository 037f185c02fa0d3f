#include "model/encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "model/table_row.h"

namespace maru::model {
namespace {

// Queries that read a block of keys together.
constexpr size_t kQueryRows = 32;

std::array<const Matrix*, 7> matrices_of(const EncoderLayer& layer) {
  return {&layer.q,        &layer.k,      &layer.v,       &layer.out,
          &layer.ffn.gate, &layer.ffn.up, &layer.ffn.down};
}

WorkspaceSizes sizes_of(const EncoderSpec& spec, const EncoderWeights& weights,
                        const kernels::KvShape& head) {
  WorkspaceSizes sizes;
  sizes.d_model = sizes.n_q = sizes.n_attn = spec.d_model;
  sizes.n_hidden = spec.d_ff;
  sizes.n_attention = kQueryRows * (head.d_k + 2 * head.v_stride() + 4);
  ActivationSet set;
  for (const EncoderLayer& layer : weights.layers) {
    sizes.n_tile = std::max(sizes.n_tile, tile_groups(layer.ffn.up) * 16);
    for (const Matrix* m : matrices_of(layer)) set.add(*m);
  }
  sizes.forms = set.wanted;
  return sizes;
}

uint64_t matrix_bytes(const EncoderWeights& weights) {
  uint64_t sum = 0;
  for (const EncoderLayer& layer : weights.layers) {
    for (const Matrix* m : matrices_of(layer)) sum += m->n_bytes();
  }
  return sum;
}

}  // namespace

Result<std::unique_ptr<EmbeddingModel>> Encoder::create(EncoderSpec spec, EncoderWeights weights,
                                                        const LoadOptions& options,
                                                        std::string name) {
  const kernels::KvShape head = {spec.d_head(), spec.d_head()};
  MARU_TRY(work, Workspace::create(sizes_of(spec, weights, head), *options.pool, *options.kernels));
  ModelInfo info;
  info.architecture = spec.architecture;
  info.name = std::move(name);
  info.n_layer = spec.n_layer;
  info.d_model = spec.d_model;
  info.n_vocab = spec.n_vocab;
  info.n_ctx_train = spec.n_ctx_train;
  info.n_params = weights.n_params;
  info.weight_bytes = weights.arena.size();
  info.bytes_per_token = matrix_bytes(weights) + weights.tokens.row_bytes();
  return std::unique_ptr<EmbeddingModel>(
      new Encoder(std::move(spec), std::move(weights), std::move(work), std::move(info)));
}

Encoder::Encoder(EncoderSpec spec, EncoderWeights weights, Workspace work, ModelInfo info)
    : spec_(std::move(spec)),
      weights_(std::move(weights)),
      work_(std::move(work)),
      info_(std::move(info)),
      head_{spec_.d_head(), spec_.d_head()} {}

Result<void> Encoder::embed(std::span<const EmbedText> texts, std::span<float> out) {
  MARU_TRY_VOID(begin(texts));
  CHECK(out.size() == rows_.size() * spec_.d_model);
  float* x = out.data();  // the result's own memory is the residual stream
  const auto for_passes = [&](auto&& f) {
    for (size_t begin = 0; begin < rows_.size(); begin += kPassRows) {
      f(begin, std::min(kPassRows, rows_.size() - begin));
    }
  };
  embed_rows(x);
  for (const EncoderLayer& layer : weights_.layers) {
    for_passes([&](size_t begin, size_t n) { project_qkv(layer, x, begin, n); });
    attend();
    for_passes([&](size_t begin, size_t n) { finish_layer(layer, x, begin, n); });
  }
  return {};
}

Result<void> Encoder::begin(std::span<const EmbedText> texts) {
  rows_.clear();
  runs_.clear();
  size_t n_blocks = 0;
  const size_t n_types = weights_.types.size() / spec_.d_model;
  for (const EmbedText& text : texts) {
    const std::span<const TokenId> tokens = text.ids;
    CHECK(!tokens.empty() && tokens.size() <= spec_.n_ctx_train);
    runs_.push_back({rows_.size(), tokens.size(), n_blocks});
    for (size_t i = 0; i < tokens.size(); ++i) {
      CHECK(tokens[i] >= 0 && static_cast<size_t>(tokens[i]) < spec_.n_vocab);
      const size_t type = i >= text.n_first && n_types > 1 ? 1 : 0;
      rows_.push_back({tokens[i], i, n_blocks + i / kBlockTokens, type});
    }
    n_blocks += blocks_for(tokens.size());
  }
  const size_t block_bytes =
      spec_.n_head * (head_.k_values() + head_.v_values()) * sizeof(uint16_t);
  if (kv_.size() < n_blocks * block_bytes) {
    MARU_TRY(memory, Arena::create(n_blocks * block_bytes));
    kv_ = std::move(memory);
  }
  q_.resize(rows_.size() * spec_.d_model);
  attn_.resize(rows_.size() * spec_.d_model);
  work_.count_rows(rows_.size());
  if (!spec_.rope) return {};
  const size_t n_rot = spec_.rope->n_rot();
  rope_.resize(rows_.size() * n_rot);
  for (size_t i = 0; i < rows_.size(); ++i) spec_.rope->fill(rows_[i].position, &rope_[i * n_rot]);
  return {};
}

uint16_t* Encoder::keys(size_t block, size_t head) {
  return reinterpret_cast<uint16_t*>(kv_.data()) +
         (block * spec_.n_head + head) * (head_.k_values() + head_.v_values());
}

void Encoder::embed_rows(float* x) {
  const size_t d = spec_.d_model;
  work_.run(rows_.size(), [&](size_t i, Worker& worker) {
    float* row = x + i * d;
    read_table_row(*weights_.file, weights_.tokens, static_cast<size_t>(rows_[i].token), row);
    if (spec_.learned_positions) {
      read_table_row(*weights_.file, weights_.positions, rows_[i].position, worker.spare);
      work_.ops().add_scaled(worker.spare, 1.0f, row, d);
    }
    if (!weights_.types.empty()) {
      work_.ops().add_scaled(weights_.types.data() + rows_[i].type * d, 1.0f, row, d);
    }
    const NormWeights& norm = weights_.embedding_norm;
    work_.ops().layer_norm(row, norm.weight.data(), norm.bias.data(), row, d, spec_.norm_eps);
  });
}

void Encoder::project_qkv(const EncoderLayer& layer, const float* x, size_t begin, size_t n) {
  const size_t d = spec_.d_model;
  tiles_.clear();
  ActivationSet set;
  for (const Matrix* m : {&layer.q, &layer.k, &layer.v}) {
    cut_tiles(*m, tiles_);
    set.add(*m);
  }
  work_.run_stage(
      n, d, set, [&](size_t i, Worker&, bool) { return x + (begin + i) * d; }, tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        const Tile& tile = tiles_[chunk];
        float* to = tile.matrix == &layer.q   ? q_.data() + begin * d
                    : tile.matrix == &layer.k ? work_.k_raw
                                              : work_.v_raw;
        work_.multiply(tile, inputs, 0, n, to + tile.row_begin(), d, worker);
      });
  work_.run(n, [&](size_t i, Worker&) { finish_qkv(layer, begin, i); });
}

// Biases, rope and scale of one row; its keys and values go to their block.
void Encoder::finish_qkv(const EncoderLayer& layer, size_t begin, size_t i) {
  const size_t d = spec_.d_model;
  const size_t d_head = spec_.d_head();
  const Row& place = rows_[begin + i];
  const size_t offset = place.position % kBlockTokens;
  float* q = q_.data() + (begin + i) * d;
  float* k = work_.k_raw + i * d;
  float* v = work_.v_raw + i * d;
  add_bias(layer.q.bias, 0, q, d);
  add_bias(layer.k.bias, 0, k, d);
  add_bias(layer.v.bias, 0, v, d);
  const float scale = kernels::kScoreUnit / std::sqrt(static_cast<float>(d_head));
  for (size_t head = 0; head < spec_.n_head; ++head) {
    float* q_head = q + head * d_head;
    float* k_head = k + head * d_head;
    if (spec_.rope) {
      const size_t n_rot = spec_.rope->n_rot();
      const float* table = rope_.data() + (begin + i) * n_rot;
      work_.ops().rope(q_head, n_rot, table, spec_.rope->interleaved);
      work_.ops().rope(k_head, n_rot, table, spec_.rope->interleaved);
    }
    for (size_t j = 0; j < d_head; ++j) q_head[j] *= scale;
    uint16_t halves[kHeadMax];
    work_.ops().to_f16(k_head, halves, d_head);
    uint16_t* to = keys(place.block, head) + offset;
    for (size_t j = 0; j < d_head; ++j) to[j * kBlockTokens] = halves[j];
    work_.ops().to_f16(v + head * d_head, values(place.block, head) + offset * head_.v_stride(),
                       d_head);
  }
}

void Encoder::attend() {
  items_.clear();
  for (const Run& run : runs_) {
    const size_t run_end = run.row_begin + run.n_rows;
    for (size_t row = run.row_begin; row < run_end; row += kQueryRows) {
      for (size_t head = 0; head < spec_.n_head; ++head) {
        items_.push_back({&run, head, row, std::min(row + kQueryRows, run_end)});
      }
    }
  }
  work_.run(items_.size(), [&](size_t i, Worker& worker) { attend_item(items_[i], worker); });
}

void Encoder::attend_item(const AttentionItem& item, Worker& worker) {
  const size_t d = spec_.d_model;
  const size_t d_head = spec_.d_head();
  const size_t v_stride = head_.v_stride();
  const size_t n_q = item.row_end - item.row_begin;
  float* q = worker.attention;
  float* out = q + kQueryRows * d_head;
  float* part_out = out + kQueryRows * v_stride;
  float* max = part_out + kQueryRows * v_stride;
  float* sum = max + kQueryRows;
  float* part_max = sum + kQueryRows;
  float* part_sum = part_max + kQueryRows;
  for (size_t t = 0; t < n_q; ++t) {
    std::copy_n(q_.data() + (item.row_begin + t) * d + item.head * d_head, d_head, q + t * d_head);
  }
  std::fill_n(out, n_q * v_stride, 0.0f);
  std::fill_n(max, n_q, -std::numeric_limits<float>::infinity());
  std::fill_n(sum, n_q, 0.0f);

  std::array<kernels::KeyRange, kQueryRows> visible;
  for (size_t begin = 0; begin < item.run->n_rows; begin += kernels::kSpanTokens) {
    const size_t n_keys = std::min(kernels::kSpanTokens, item.run->n_rows - begin);
    visible.fill({0, static_cast<uint16_t>(n_keys)});
    kernels::KvSpan span;
    for (size_t b = 0; b * kBlockTokens < n_keys; ++b) {
      const size_t block = item.run->block_begin + begin / kBlockTokens + b;
      span.k[b] = keys(block, item.head);
      span.v[b] = values(block, item.head);
    }
    work_.ops().attention_span(q, visible.data(), n_q, head_, span, 0.0f, part_out, part_max,
                               part_sum);
    work_.ops().attention_merge(part_out, part_max, part_sum, n_q, v_stride, out, max, sum);
  }

  for (size_t t = 0; t < n_q; ++t) {
    float* to = attn_.data() + (item.row_begin + t) * d + item.head * d_head;
    const float scale = 1.0f / sum[t];
    for (size_t j = 0; j < d_head; ++j) to[j] = out[t * v_stride + j] * scale;
  }
}

void Encoder::finish_layer(const EncoderLayer& layer, float* x, size_t begin, size_t n) {
  const size_t d = spec_.d_model;
  float* rows = x + begin * d;
  project(layer.out, attn_.data() + begin * d, d, n);
  add_and_norm(layer.attn_norm, rows, n);
  feed_forward(layer.ffn, rows, n);
  project(layer.ffn.down, work_.hidden, spec_.d_ff, n);
  add_and_norm(layer.ffn_norm, rows, n);
}

void Encoder::feed_forward(const Ffn& ffn, const float* x, size_t n) {
  tiles_.clear();
  cut_tiles(ffn.up, tiles_);
  ActivationSet set;
  set.add(ffn.gate);
  set.add(ffn.up);
  const size_t d = spec_.d_model;
  work_.run_stage(
      n, d, set, [&](size_t i, Worker&, bool) { return x + i * d; }, tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        const Tile& up = tiles_[chunk];
        const Tile gate = {&ffn.gate, up.group_begin, up.group_end};
        const size_t width = up.n_rows();
        work_.multiply(up, inputs, 0, n, worker.tile[0], width, worker);
        if (ffn.gate.present()) work_.multiply(gate, inputs, 0, n, worker.tile[1], width, worker);
        for (size_t i = 0; i < n; ++i) {
          float* up_y = worker.tile[0] + i * width;
          float* gate_y = worker.tile[1] + i * width;
          float* to = work_.hidden + i * spec_.d_ff + up.row_begin();
          add_bias(ffn.up.bias, up.row_begin(), up_y, width);
          if (!ffn.gate.present()) {
            work_.ops().gelu_erf(up_y, to, width);
            continue;
          }
          add_bias(ffn.gate.bias, up.row_begin(), gate_y, width);
          work_.ops().silu_mul(gate_y, up_y, to, width);
        }
      });
}

void Encoder::project(const Matrix& matrix, const float* input, size_t stride, size_t n) {
  tiles_.clear();
  cut_tiles(matrix, tiles_);
  ActivationSet set;
  set.add(matrix);
  work_.run_stage(
      n, stride, set, [&](size_t i, Worker&, bool) { return input + i * stride; }, tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        const Tile& tile = tiles_[chunk];
        float* to = work_.y[0] + tile.row_begin();
        work_.multiply(tile, inputs, 0, n, to, spec_.d_model, worker);
        for (size_t i = 0; i < n; ++i) {
          add_bias(matrix.bias, tile.row_begin(), to + i * spec_.d_model, tile.n_rows());
        }
      });
}

void Encoder::add_and_norm(const NormWeights& norm, float* x, size_t n) {
  const size_t d = spec_.d_model;
  work_.run(n, [&](size_t i, Worker&) {
    float* row = x + i * d;
    work_.ops().add_scaled(work_.y[0] + i * d, 1.0f, row, d);
    work_.ops().layer_norm(row, norm.weight.data(), norm.bias.data(), row, d, spec_.norm_eps);
  });
}

}  // namespace maru::model
