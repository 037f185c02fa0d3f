#include "model/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/recurrent.h"
#include "model/table_row.h"

namespace maru::model {
namespace {

// All of a layer but those of its feed-forward.
std::vector<const Matrix*> matrices_of(const LayerWeights& layer) {
  const RecurrentWeights& recurrent = layer.recurrent;
  std::vector<const Matrix*> matrices = {
      &layer.q,    &layer.k,      &layer.v,     &layer.out,       &layer.router,  &layer.q_a,
      &layer.kv_a, &recurrent.in, &recurrent.z, &recurrent.alpha, &recurrent.beta};
  for (const Matrix& m : layer.to_latent) matrices.push_back(&m);
  for (const Matrix& m : layer.from_latent) matrices.push_back(&m);
  return matrices;
}

WorkspaceSizes sizes_of(const DecoderSpec& spec, const DecoderWeights& weights,
                        const AttentionSizes& attention) {
  WorkspaceSizes sizes;
  sizes.d_model = spec.d_model;
  sizes.n_q = spec.n_head * std::max(spec.d_k, spec.d_v);
  const LatentSpec& mla = spec.latent;
  sizes.n_q = std::max({sizes.n_q, spec.n_head * (mla.d_nope + mla.d_rope), mla.d_q + spec.d_k,
                        spec.n_head * mla.d_value});
  if (spec.attention_gate) {
    sizes.n_gate = spec.n_head * spec.d_v;
    sizes.n_q = 2 * spec.n_head * spec.d_k;
  }
  sizes.n_mix = MixColumns(spec).n;
  sizes.n_attn = std::max(spec.n_head * spec.d_v, spec.recurrent.n_inner());
  if (spec.recurrent.kind == RecurrentKind::kShortConv) {
    sizes.n_attn = std::max(sizes.n_attn, spec.d_model);
  }
  sizes.n_tile = std::max(spec.d_k, spec.d_v);
  sizes.n_attention = attention.n_floats();
  for (const Rope& rope : spec.ropes) sizes.n_rope += rope.n_rot();
  ActivationSet set;
  set.add(weights.output);
  if (weights.planes) {
    const size_t n_values = kRepeatedRows * tile_groups(weights.planes->high) * 16;
    sizes.n_tile = std::max(sizes.n_tile, (n_values + kPassRows - 1) / kPassRows);
  }
  for (const LayerWeights& layer : weights.layers) {
    for (const Matrix* m : matrices_of(layer)) set.add(*m);
    const auto widen = [&](const Ffn& ffn, size_t (*groups_of)(const Matrix&)) {
      for (const Matrix* m : {&ffn.gate, &ffn.up, &ffn.down}) set.add(*m);
      if (!ffn.up.present()) return;
      sizes.n_hidden = std::max(sizes.n_hidden, ffn.up.packed.n_rows);
      sizes.n_tile = std::max(sizes.n_tile, groups_of(ffn.up) * 16);
    };
    widen(layer.ffn, tile_groups);
    for (const Ffn& expert : layer.experts) widen(expert, expert_tile_groups);
    if (layer.router.present()) {
      const size_t per_row = spec.moe.n_used + (spec.moe.d_ff_shared > 0 ? 1 : 0);
      sizes.n_slots = kPassRows * per_row;
      sizes.n_hidden = std::max(sizes.n_hidden, spec.moe.n_expert);
    }
  }
  sizes.forms = set.wanted;
  return sizes;
}

// What one token passes through in the layers, with `measure` of each matrix summed.
template <class Measure>
uint64_t layers_per_token(const DecoderSpec& spec, const DecoderWeights& weights,
                          const Measure& measure) {
  uint64_t sum = 0;
  const auto of_ffn = [&](const Ffn& f) {
    return measure(f.gate) + measure(f.up) + measure(f.down);
  };
  for (const LayerWeights& layer : weights.layers) {
    for (const Matrix* m : matrices_of(layer)) sum += measure(*m);
    sum += of_ffn(layer.ffn);
    if (layer.experts.empty()) continue;
    sum += spec.moe.n_used * of_ffn(layer.experts.front());
    if (spec.moe.d_ff_shared > 0) sum += of_ffn(layer.experts.back());
  }
  return sum;
}

}  // namespace

Result<std::unique_ptr<Model>> Decoder::create(DecoderSpec spec, DecoderWeights weights,
                                               const LoadOptions& options, std::string name) {
  MARU_TRY(work, Workspace::create(sizes_of(spec, weights, AttentionSizes(spec)), *options.pool,
                                   *options.kernels));
  ModelInfo info;
  info.architecture = spec.architecture;
  info.name = std::move(name);
  info.n_layer = spec.n_layer();
  info.d_model = spec.d_model;
  info.n_vocab = spec.n_vocab;
  info.n_ctx_train = spec.n_ctx_train;
  info.n_params = weights.n_params;
  info.weight_bytes = weights.arena.size();
  info.bytes_per_token =
      weights.output.n_bytes() + weights.embeddings.row_bytes() +
      layers_per_token(spec, weights, [](const Matrix& m) -> uint64_t { return m.n_bytes(); });
  info.macs_per_token = layers_per_token(spec, weights, [](const Matrix& m) -> uint64_t {
    return uint64_t{m.packed.n_rows} * m.packed.n_cols;
  });
  info.kv_block_bytes = KvLayout(spec).block_bytes();
  info.state_bytes = StateLayout(spec).n_bytes();
  return std::unique_ptr<Model>(
      new Decoder(std::move(spec), std::move(weights), std::move(work), std::move(info)));
}

Decoder::Decoder(DecoderSpec spec, DecoderWeights weights, Workspace work, ModelInfo info)
    : spec_(std::move(spec)),
      weights_(std::move(weights)),
      work_(std::move(work)),
      info_(std::move(info)),
      kv_layout_(spec_),
      state_layout_(spec_),
      heads_are_tiles_(spec_.d_k % 16 == 0 && spec_.d_v % 16 == 0 &&
                       spec_.qk_norm != QkNorm::kWhole) {
  const auto d_k = static_cast<float>(spec_.recurrent.d_k);
  key_unit_.assign(spec_.recurrent.d_k, 1.0f / std::sqrt(d_k));
  query_unit_.assign(spec_.recurrent.d_k, 1.0f / d_k);  // a query is also scaled by 1/sqrt(d_k)
}

Result<std::unique_ptr<KvStore>> Decoder::make_kv_store(size_t n_blocks, size_t n_states) const {
  return KvCache::create(kv_layout_, n_blocks, state_layout_, n_states);
}

void Decoder::forward(std::span<const Slice> batch, KvStore& kv, std::span<float> logits) {
  forward_batch(batch, kv, Want::kLogits, logits);
}

void Decoder::forward_hidden(std::span<const Slice> batch, KvStore& kv, std::span<float> hidden) {
  forward_batch(batch, kv, Want::kHidden, hidden);
}

void Decoder::forward_batch(std::span<const Slice> batch, KvStore& kv, Want want,
                            std::span<float> out) {
  auto& cache = static_cast<KvCache&>(kv);
  const size_t width = want == Want::kLogits ? spec_.n_vocab : spec_.d_model;
  const auto flush = [&] {
    const size_t n = pass_.logit_rows.size() * width;
    CHECK(n <= out.size());
    forward_pass(cache, want, out.first(n));
    out = out.subspan(n);
    pass_.clear();
  };
  pass_.clear();
  for (const Slice& slice : batch) {
    for (size_t done = 0; done < slice.tokens.size();) {
      done += pass_.take(slice, done);
      if (pass_.rows.size() == kPassRows) flush();
    }
  }
  if (!pass_.rows.empty()) flush();
}

void Decoder::forward_pass(KvCache& kv, Want want, std::span<float> out) {
  work_.count_rows(pass_.rows.size());
  fill_ropes();
  embed_pending_ = true;
  pending_.clear();
  for (const Run& run : pass_.runs) kv.advance_state(run.state, run.position, run.n_rows);
  for (size_t i = 0; i < spec_.n_layer(); ++i) {
    mix(i, kv);
    if (!spec_.has_ffn) continue;
    if (spec_.layers[i].experts) {
      experts(i);
    } else {
      ffn_in(i);
      ffn_out(i);
    }
  }
  if (pass_.logit_rows.empty()) return;
  want == Want::kLogits ? output(out) : output_hidden(out);
}

void Decoder::mix(size_t i, KvCache& kv) {
  if (!spec_.attends(i)) return mix_recurrent(i, kv);
  const bool is_latent = spec_.latent.d_latent > 0;
  is_latent ? latent_in(i, kv) : attention_in(i, kv);
  attend(i, kv);
  is_latent ? latent_out(i) : attention_out(i);
}

void Decoder::fill_ropes() {
  for (size_t row = 0; row < pass_.rows.size(); ++row) {
    float* out = work_.rope + row * work_.sizes.n_rope;
    for (const Rope& rope : spec_.ropes) {
      rope.fill(pass_.rows[row].position, out);
      out += rope.n_rot();
    }
  }
}

void Decoder::embed(TokenId token, float* x) const {
  CHECK(token >= 0);
  read_table_row(*weights_.file, weights_.embeddings, static_cast<size_t>(token), x);
  if (spec_.embedding_scale == 1.0f) return;
  for (size_t d = 0; d < spec_.d_model; ++d) x[d] *= spec_.embedding_scale;
}

void Decoder::apply_norm(const NormWeights& norm, const float* x, float* y, size_t n,
                         size_t first) const {
  if (!norm.present()) {
    std::copy_n(x, n, y);
  } else if (spec_.norm == NormKind::kRms) {
    work_.ops().rms_norm(x, norm.weight.data() + first, y, n, spec_.norm_eps);
  } else {
    const float* bias = norm.bias.empty() ? nullptr : norm.bias.data() + first;
    work_.ops().layer_norm(x, norm.weight.data() + first, bias, y, n, spec_.norm_eps);
  }
}

const float* Decoder::residual_row(const NormWeights& norm, size_t row, Worker& worker,
                                   bool owner) {
  const size_t n = spec_.d_model;
  float* x = owner ? work_.x_next + row * n : worker.x;
  if (embed_pending_) {
    embed(pass_.rows[row].token, x);
  } else {
    std::copy_n(work_.x + row * n, n, x);
  }
  for (const Pending& pending : pending_) {
    const float* y = pending.y + row * n;
    if (pending.norm->present()) {
      apply_norm(*pending.norm, y, worker.spare, n);
      y = worker.spare;
    }
    work_.ops().add_scaled(y, spec_.residual_scale, x, n);
  }
  apply_norm(norm, x, worker.row, n);
  return worker.row;
}

void Decoder::finish_residual() {
  std::swap(work_.x, work_.x_next);
  embed_pending_ = false;
  pending_.clear();
}

void Decoder::make_qkv_tiles(const LayerWeights& layer) {
  tiles_.clear();
  const auto cut = [&](const Matrix& matrix, size_t d_head) {
    if (!heads_are_tiles_) return cut_tiles(matrix, tiles_);
    for (size_t begin = 0; begin < matrix.packed.n_rows; begin += d_head) {
      tiles_.push_back({&matrix, begin / 16, (begin + d_head) / 16});
    }
  };
  cut(layer.q, spec_.d_k);
  cut(layer.k, spec_.d_k);
  cut(layer.v, spec_.d_v);
}

void Decoder::attention_in(size_t i, KvCache& kv) {
  const LayerWeights& layer = weights_.layers[i];
  const size_t n_rows = pass_.rows.size();
  make_qkv_tiles(layer);
  ActivationSet set;
  for (const Matrix* m : {&layer.q, &layer.k, &layer.v}) set.add(*m);
  begin_adapted({&layer.q, &layer.k, &layer.v});
  const size_t n_q = work_.sizes.n_q;
  const auto part_of = [&](const Tile& tile) {
    if (tile.matrix != &layer.q) return tile.matrix == &layer.k ? Part::kKey : Part::kValue;
    // With a gate, each query's values are followed by those of its gate.
    const bool is_gate = spec_.attention_gate && tile.row_begin() / spec_.d_k % 2 == 1;
    return is_gate ? Part::kGate : Part::kQuery;
  };
  work_.run_stage(
      n_rows, spec_.d_model, set,
      [&](size_t row, Worker& worker, bool owner) {
        return with_low(residual_row(layer.attn_in, row, worker, owner), row, worker);
      },
      tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        const Tile& tile = tiles_[chunk];
        const Part part = part_of(tile);
        if (!heads_are_tiles_) {  // whole rows first: see below
          const bool is_q = tile.matrix == &layer.q;
          float* to = is_q ? work_.q : (part == Part::kKey ? work_.k_raw : work_.v_raw);
          work_.multiply(tile, inputs, 0, n_rows, to + tile.row_begin(), n_q, worker);
          add_low(tile, to + tile.row_begin(), n_q, worker);
          return;
        }
        const size_t n = tile.n_rows();
        work_.multiply(tile, inputs, 0, n_rows, worker.tile[0], n, worker);
        add_low(tile, worker.tile[0], n, worker);
        const size_t n_per_head = spec_.attention_gate && tile.matrix == &layer.q ? 2 : 1;
        const size_t head = tile.row_begin() / n / n_per_head;
        for (size_t row = 0; row < n_rows; ++row) {
          finish_head(i, part, head, row, worker.tile[0] + row * n, kv);
        }
      });
  finish_residual();
  if (!heads_are_tiles_) finish_rows(i, kv);
}

// For norms over whole rows and for heads that do not begin at multiples of 16.
void Decoder::finish_rows(size_t i, KvCache& kv) {
  const LayerWeights& layer = weights_.layers[i];
  const size_t n_q = work_.sizes.n_q;
  work_.run(pass_.rows.size(), [&](size_t row, Worker&) {
    float* q = work_.q + row * n_q;
    float* k = work_.k_raw + row * n_q;
    if (spec_.qk_norm == QkNorm::kWhole) {
      add_bias(layer.q.bias, 0, q, layer.q.packed.n_rows);
      add_bias(layer.k.bias, 0, k, layer.k.packed.n_rows);
      apply_norm(layer.q_norm, q, q, layer.q.packed.n_rows);
      apply_norm(layer.k_norm, k, k, layer.k.packed.n_rows);
    }
    const size_t n_per_head = spec_.attention_gate ? 2 : 1;
    for (size_t head = 0; head < spec_.n_head; ++head) {
      float* from = q + n_per_head * head * spec_.d_k;
      // The gate leaves first: the next query is moved to where it is.
      if (spec_.attention_gate) finish_head(i, Part::kGate, head, row, from + spec_.d_k, kv);
      finish_head(i, Part::kQuery, head, row, from, kv);
    }
    for (size_t head = 0; head < spec_.layers[i].n_head_kv; ++head) {
      finish_head(i, Part::kKey, head, row, k + head * spec_.d_k, kv);
      finish_head(i, Part::kValue, head, row, work_.v_raw + row * n_q + head * spec_.d_v, kv);
    }
  });
}

void Decoder::finish_head(size_t i, Part part, size_t head, size_t row, float* values,
                          KvCache& kv) {
  const LayerWeights& layer = weights_.layers[i];
  const Row& place = pass_.rows[row];
  const size_t offset = place.position % kBlockTokens;
  if (part == Part::kValue) {
    add_bias(layer.v.bias, head * spec_.d_v, values, spec_.d_v);
    uint16_t* to = kv.values(place.block, i, head) + offset * kv_layout_.head.v_stride();
    work_.ops().to_f16(values, to, spec_.d_v);
    return;
  }
  const size_t d_k = spec_.d_k;
  if (part == Part::kGate) {
    add_bias(layer.q.bias, (2 * head + 1) * d_k, values, d_k);
    std::copy_n(values, d_k, work_.gate + row * work_.sizes.n_gate + head * d_k);
    return;
  }
  const bool query = part == Part::kQuery;
  const size_t bias_head = query && spec_.attention_gate ? 2 * head : head;
  const NormWeights& norm = query ? layer.q_norm : layer.k_norm;
  const size_t first = norm.weight.size() > d_k ? head * d_k : 0;
  if (spec_.qk_norm != QkNorm::kWhole) {
    add_bias(query ? layer.q.bias : layer.k.bias, bias_head * d_k, values, d_k);
  }
  if (spec_.qk_norm == QkNorm::kPerHead) apply_norm(norm, values, values, d_k, first);
  if (spec_.layers[i].rope != kNoRope) {
    const float* table = work_.rope + row * work_.sizes.n_rope;
    for (size_t r = 0; r < spec_.layers[i].rope; ++r) table += spec_.ropes[r].n_rot();
    const Rope& rope = spec_.ropes[spec_.layers[i].rope];
    work_.ops().rope(values, rope.n_rot(), table, rope.interleaved);
  }
  if (spec_.qk_norm == QkNorm::kPerHeadAfterRope) apply_norm(norm, values, values, d_k, first);
  if (query) {
    float* to = work_.q + row * work_.sizes.n_q + head * d_k;
    const float scale = spec_.attention_scale * kernels::kScoreUnit;
    for (size_t d = 0; d < d_k; ++d) to[d] = values[d] * scale;
    return;
  }
  uint16_t halves[kHeadMax];
  work_.ops().to_f16(values, halves, d_k);
  uint16_t* to = kv.keys(place.block, i, head) + offset;
  for (size_t d = 0; d < d_k; ++d) to[d * kBlockTokens] = halves[d];
}

void Decoder::attention_out(size_t i) {
  const Matrix& out = weights_.layers[i].out;
  project(out, spec_.n_head * spec_.d_v, work_.attn, work_.sizes.n_attn, work_.y[0]);
  pending_.push_back({work_.y[0], &weights_.layers[i].attn_out});
}

void Decoder::project(const Matrix& matrix, size_t n_cols, const float* x, size_t x_stride,
                      float* y) {
  project(
      matrix, n_cols, [&](size_t row, Worker&, bool) -> const float* { return x + row * x_stride; },
      y);
}

void Decoder::project(const Matrix& matrix, size_t n_cols, Workspace::MakeRow make, float* y) {
  const size_t n_rows = pass_.rows.size();
  tiles_.clear();
  cut_tiles(matrix, tiles_);
  ActivationSet set;
  set.add(matrix);
  begin_adapted({&matrix});
  const auto make_adapted = [&](size_t row, Worker& worker, bool owner) {
    return with_low(make(row, worker, owner), row, worker);
  };
  work_.run_stage(n_rows, n_cols, set, make_adapted, tiles_.size(),
                  [&](size_t chunk, Worker& worker, const Activations& inputs) {
                    const Tile& tile = tiles_[chunk];
                    float* to = y + tile.row_begin();
                    work_.multiply(tile, inputs, 0, n_rows, to, spec_.d_model, worker);
                    add_low(tile, to, spec_.d_model, worker);
                    if (matrix.bias.empty()) return;
                    for (size_t row = 0; row < n_rows; ++row) {
                      add_bias(matrix.bias, tile.row_begin(), to + row * spec_.d_model,
                               tile.n_rows());
                    }
                  });
}

void Decoder::activate(const float* gate, float* up, float* out, size_t n) const {
  switch (spec_.ffn) {
    case FfnKind::kSiluGated:
      return work_.ops().silu_mul(gate, up, out, n);
    case FfnKind::kGeluGated:
      return work_.ops().gelu_mul(gate, up, out, n);
    case FfnKind::kClampedSilu:
      for (size_t i = 0; i < n; ++i) {
        const float g = std::min(gate[i], 7.0f);
        const float u = std::clamp(up[i], -7.0f, 7.0f);
        out[i] = g / (1.0f + std::exp(-1.702f * g)) * (u + 1.0f);
      }
      return;
    case FfnKind::kGelu:
      std::copy_n(up, n, out);
      std::fill_n(up, n, 1.0f);
      return work_.ops().gelu_mul(out, up, out, n);
    case FfnKind::kReluSquared:
      for (size_t i = 0; i < n; ++i) {
        const float u = std::max(up[i], 0.0f);
        out[i] = u * u;
      }
      return;
  }
}

void Decoder::ffn_tile(const Ffn& ffn, const Tile& up, const std::byte* gate_in,
                       const std::byte* up_in, PerForm<size_t> strides, size_t n_rows,
                       float* hidden, Worker& worker) {
  const size_t n = up.n_rows();
  float* gate_y = worker.tile[0];
  float* up_y = worker.tile[1];
  if (ffn.gate.present()) {
    const Tile gate = {&ffn.gate, up.group_begin, up.group_end};
    const size_t stride = strides[static_cast<size_t>(ffn.gate.activation)];
    work_.multiply(gate, gate_in, stride, n_rows, gate_y, n, worker);
    add_low(gate, gate_y, n, worker);
  }
  const size_t stride = strides[static_cast<size_t>(ffn.up.activation)];
  work_.multiply(up, up_in, stride, n_rows, up_y, n, worker);
  add_low(up, up_y, n, worker);
  for (size_t row = 0; row < n_rows; ++row) {
    add_bias(ffn.gate.bias, up.row_begin(), gate_y + row * n, n);
    add_bias(ffn.up.bias, up.row_begin(), up_y + row * n, n);
    float* out = hidden + row * work_.sizes.n_hidden + up.row_begin();
    activate(gate_y + row * n, up_y + row * n, out, n);
  }
}

void Decoder::ffn_in(size_t i) {
  const LayerWeights& layer = weights_.layers[i];
  const size_t n_rows = pass_.rows.size();
  const Ffn& ffn = layer.ffn;
  tiles_.clear();
  cut_tiles(ffn.up, tiles_);
  ActivationSet set;
  set.add(ffn.gate);
  set.add(ffn.up);
  begin_adapted({&ffn.gate, &ffn.up});
  work_.run_stage(
      n_rows, spec_.d_model, set,
      [&](size_t row, Worker& worker, bool owner) {
        return with_low(ffn_row(layer, row, worker, owner), row, worker);
      },
      tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        ffn_tile(ffn, tiles_[chunk], inputs.row(ffn.gate.activation, 0),
                 inputs.row(ffn.up.activation, 0), inputs.stride, n_rows, work_.hidden, worker);
      });
  if (!spec_.parallel_residual) finish_residual();
}

// The feed-forward's input: the attention's output is added first, or stays pending where both
// halves read the same norm.
const float* Decoder::ffn_row(const LayerWeights& layer, size_t row, Worker& worker, bool owner) {
  if (!spec_.parallel_residual) return residual_row(layer.ffn_in, row, worker, owner);
  const NormWeights& norm = layer.ffn_in.present() ? layer.ffn_in : layer.attn_in;
  apply_norm(norm, work_.x + row * spec_.d_model, worker.row, spec_.d_model);
  return worker.row;
}

void Decoder::ffn_out(size_t i) {
  const LayerWeights& layer = weights_.layers[i];
  project(layer.ffn.down, spec_.layers[i].d_ff, work_.hidden, work_.sizes.n_hidden, work_.y[1]);
  pending_.push_back({work_.y[1], &layer.ffn_out});
}

}  // namespace maru::model
