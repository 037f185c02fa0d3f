// model/latent.cc - the decoder's stages of latent attention: one small vector per token stands for
// the keys and values of all heads.
//
//   1  add, norm; queries (or their first step) and the latent vector     v_raw: [q_a | latent,
//   rope] 2  where queries have two steps: norm, second step                    k_raw: queries 3
//   rotate; write the cache; queries into the latent space             q attend, as if there were
//   one KV head of d_latent + d_rope 4  each head's values out of the latent space k_raw 5  output
//   projection
//
// Bringing queries to the latent vector, instead of expanding it to keys, is exact algebra: the dot
// product of q with W c is that of W^T q with c.
// Source: DeepSeek-AI 2024 (arXiv:2405.04434), section 2.1 and appendix C.
#include <algorithm>

#include "model/decoder.h"

namespace maru::model {

void Decoder::latent_in(size_t i, KvCache& kv) {
  const LayerWeights& layer = weights_.layers[i];
  const LatentSpec& mla = spec_.latent;
  const size_t n_rows = pass_.rows.size();
  const size_t stride = work_.sizes.n_q;
  const Matrix& first = mla.d_q > 0 ? layer.q_a : layer.q;
  tiles_.clear();
  cut_tiles(first, tiles_);
  cut_tiles(layer.kv_a, tiles_);
  ActivationSet set;
  set.add(first);
  set.add(layer.kv_a);
  work_.run_stage(
      n_rows, spec_.d_model, set,
      [&](size_t row, Worker& worker, bool owner) {
        return residual_row(layer.attn_in, row, worker, owner);
      },
      tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        const Tile& tile = tiles_[chunk];
        float* to = tile.matrix == &layer.kv_a ? work_.v_raw + mla.d_q
                                               : (mla.d_q > 0 ? work_.v_raw : work_.k_raw);
        work_.multiply(tile, inputs, 0, n_rows, to + tile.row_begin(), stride, worker);
      });
  finish_residual();
  if (mla.d_q > 0) {
    tiles_.clear();
    cut_tiles(layer.q, tiles_);
    ActivationSet second;
    second.add(layer.q);
    work_.run_stage(
        n_rows, mla.d_q, second,
        [&](size_t row, Worker& worker, bool) {
          apply_norm(layer.q_a_norm, work_.v_raw + row * stride, worker.row, mla.d_q);
          return worker.row;
        },
        tiles_.size(),
        [&](size_t chunk, Worker& worker, const Activations& inputs) {
          const Tile& tile = tiles_[chunk];
          work_.multiply(tile, inputs, 0, n_rows, work_.k_raw + tile.row_begin(), stride, worker);
        });
  }
  work_.run(n_rows, [&](size_t row, Worker& worker) { latent_row(i, row, worker, kv); });
}

void Decoder::latent_row(size_t i, size_t row, Worker& worker, KvCache& kv) {
  const LayerWeights& layer = weights_.layers[i];
  const LatentSpec& mla = spec_.latent;
  const Row& place = pass_.rows[row];
  const size_t offset = place.position % kBlockTokens;
  const Rope& rope = spec_.ropes[0];
  const float* table = work_.rope + row * work_.sizes.n_rope;

  float* latent = work_.v_raw + row * work_.sizes.n_q + mla.d_q;
  apply_norm(layer.kv_a_norm, latent, latent, mla.d_latent);
  work_.ops().rope(latent + mla.d_latent, rope.n_rot(), table, rope.interleaved);
  uint16_t halves[kHeadMax];
  work_.ops().to_f16(latent, halves, spec_.d_k);
  uint16_t* keys = kv.keys(place.block, i, 0) + offset;
  for (size_t d = 0; d < spec_.d_k; ++d) keys[d * kBlockTokens] = halves[d];
  std::copy_n(halves, mla.d_latent,
              kv.values(place.block, i, 0) + offset * kv_layout_.head.v_stride());

  for (size_t head = 0; head < spec_.n_head; ++head) {
    float* from = work_.k_raw + row * work_.sizes.n_q + head * (mla.d_nope + mla.d_rope);
    float* to = work_.q + row * work_.sizes.n_q + head * spec_.d_k;
    work_.ops().rope(from + mla.d_nope, rope.n_rot(), table, rope.interleaved);
    const Matrix& matrix = layer.to_latent[head];
    const Tile all = {&matrix, 0, matrix.packed.n_groups()};
    const auto* inputs = reinterpret_cast<const std::byte*>(from);
    work_.multiply(all, inputs, 0, 1, to, spec_.d_k, worker);
    std::copy_n(from + mla.d_nope, mla.d_rope, to + mla.d_latent);
    const float scale = spec_.attention_scale * kernels::kScoreUnit;
    for (size_t d = 0; d < spec_.d_k; ++d) to[d] *= scale;
  }
}

void Decoder::latent_out(size_t i) {
  const LayerWeights& layer = weights_.layers[i];
  const size_t n_rows = pass_.rows.size();
  const size_t d_value = spec_.latent.d_value;
  work_.run(spec_.n_head, [&](size_t head, Worker& worker) {
    const Matrix& matrix = layer.from_latent[head];
    const Tile all = {&matrix, 0, matrix.packed.n_groups()};
    const auto* inputs = reinterpret_cast<const std::byte*>(work_.attn + head * spec_.d_v);
    work_.multiply(all, inputs, work_.sizes.n_attn * sizeof(float), n_rows,
                   work_.k_raw + head * d_value, work_.sizes.n_q, worker);
  });
  project(layer.out, spec_.n_head * d_value, work_.k_raw, work_.sizes.n_q, work_.y[0]);
  pending_.push_back({work_.y[0], &layer.attn_out});
}

}  // namespace maru::model
