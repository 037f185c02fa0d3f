// model/recurrent.cc - the decoder's stages of layers that keep a state of fixed size.
//
//   1  add, norm, input projections                                  mix
//   2  causal convolution over the last inputs, in row order         mix (kShortConv: attn, goes to
//   5) 3  per row: keys and queries of unit length, gates 4  per head: the state meets the rows in
//   order                   mix: values become outputs 5  norm, gate, output projection
//
// Rows are taken one by one and in order, never in chunks with their own algebra: a row's result
// depends on the state it meets and on nothing else. That is the batch invariance.
// Sources: short convolution, Liquid AI 2025 (arXiv:2511.23404), section 2; state space, Dao & Gu
// 2024 (arXiv:2405.21060), section 3; gated delta rule, Yang et al. 2024 (arXiv:2412.06464),
// equation 10.
#include "model/recurrent.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/decoder.h"

namespace maru::model {
namespace {

// Channels or columns that one worker takes at a time.
constexpr size_t kConvChannels = 256;
constexpr size_t kStateColumns = 64;
// Added to a squared length before its root is taken.
constexpr float kLengthEps = 1e-6f;
// Above it softplus(x) is x, to the last bit of a float.
constexpr float kSoftplusLinear = 20.0f;

float softplus(float x) { return x > kSoftplusLinear ? x : std::log1p(std::exp(x)); }

constexpr std::array<float, kConvChannels> all_ones() {
  std::array<float, kConvChannels> ones = {};
  for (float& x : ones) x = 1.0f;
  return ones;
}
constexpr std::array<float, kConvChannels> kOnes = all_ones();

// One row of n channels: out = sum over the taps, the oldest first. The inputs move up by one.
void convolve_row(const RecurrentWeights& weights, size_t kernel, size_t n_conv, size_t begin,
                  size_t n, const float* input, float* history, float* out) {
  if (weights.conv_bias.empty()) {
    std::fill_n(out, n, 0.0f);
  } else {
    std::copy_n(weights.conv_bias.data() + begin, n, out);
  }
  for (size_t tap = 0; tap < kernel; ++tap) {
    const float* w = weights.conv.data() + tap * n_conv + begin;
    const float* x = tap + 1 < kernel ? history + tap * n_conv + begin : input;
    for (size_t c = 0; c < n; ++c) out[c] += w[c] * x[c];
  }
  for (size_t tap = 0; tap + 1 < kernel; ++tap) {
    float* to = history + tap * n_conv + begin;
    std::copy_n(tap + 2 < kernel ? to + n_conv : input, n, to);
  }
}

}  // namespace

void Decoder::recurrent_in(size_t i) {
  const LayerWeights& layer = weights_.layers[i];
  const RecurrentWeights& weights = layer.recurrent;
  const MixColumns at(spec_);
  const size_t n_rows = pass_.rows.size();
  tiles_.clear();
  ActivationSet set;
  for (const Matrix* m : {&weights.in, &weights.z, &weights.alpha, &weights.beta}) {
    if (!m->present()) continue;
    cut_tiles(*m, tiles_);
    set.add(*m);
  }
  const auto column_of = [&](const Matrix* m) {
    if (m == &weights.in) return size_t{0};
    return m == &weights.z ? at.z : (m == &weights.alpha ? at.alpha : at.beta);
  };
  work_.run_stage(
      n_rows, spec_.d_model, set,
      [&](size_t row, Worker& worker, bool owner) {
        return residual_row(layer.attn_in, row, worker, owner);
      },
      tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        const Tile& tile = tiles_[chunk];
        float* to = work_.mix + column_of(tile.matrix) + tile.row_begin();
        work_.multiply(tile, inputs, 0, n_rows, to, work_.sizes.n_mix, worker);
        if (tile.matrix->bias.empty()) return;
        const float* bias = tile.matrix->bias.data() + tile.row_begin();
        for (size_t row = 0; row < n_rows; ++row) {
          for (size_t r = 0; r < tile.n_rows(); ++r) to[row * work_.sizes.n_mix + r] += bias[r];
        }
      });
  finish_residual();
}

void Decoder::convolve(size_t i, KvCache& kv) {
  const RecurrentWeights& weights = weights_.layers[i].recurrent;
  const bool is_short = spec_.recurrent.kind == RecurrentKind::kShortConv;
  const size_t d_model = spec_.d_model;
  const size_t n_conv = spec_.n_conv();
  const size_t n_pieces = (n_conv + kConvChannels - 1) / kConvChannels;
  work_.run(pass_.runs.size() * n_pieces, [&](size_t item, Worker&) {
    const Run& run = pass_.runs[item / n_pieces];
    const size_t begin = item % n_pieces * kConvChannels;
    const size_t n = std::min(kConvChannels, n_conv - begin);
    float* history = kv.state(run.state, i);
    float input[kConvChannels];
    float sum[kConvChannels];
    for (size_t row = run.row_begin; row < run.row_begin + run.n_rows; ++row) {
      float* x = work_.mix + row * work_.sizes.n_mix + begin;
      if (!is_short) {
        convolve_row(weights, spec_.recurrent.kernel, n_conv, begin, n, x, history, sum);
        work_.ops().silu_mul(sum, kOnes.data(), x, n);
        continue;
      }
      for (size_t c = 0; c < n; ++c) input[c] = x[c] * x[2 * d_model + c];
      convolve_row(weights, spec_.recurrent.kernel, n_conv, begin, n, input, history, sum);
      float* out = work_.attn + row * work_.sizes.n_attn + begin;
      for (size_t c = 0; c < n; ++c) out[c] = x[d_model + c] * sum[c];
    }
  });
}

void Decoder::set_gates(size_t i, size_t row) {
  const RecurrentWeights& weights = weights_.layers[i].recurrent;
  const RecurrentSpec& r = spec_.recurrent;
  const MixColumns at(spec_);
  float* mix = work_.mix + row * work_.sizes.n_mix;
  const bool delta = r.kind == RecurrentKind::kDeltaNet;
  for (size_t head = 0; delta && head < r.n_head_k; ++head) {
    const float eps = kLengthEps / static_cast<float>(r.d_k);
    float* q = mix + at.query + head * r.d_k;
    float* k = mix + at.key + head * r.d_k;
    work_.ops().rms_norm(q, query_unit_.data(), q, r.d_k, eps);
    work_.ops().rms_norm(k, key_unit_.data(), k, r.d_k, eps);
  }
  const size_t n_per_key = r.n_head / r.n_head_k;
  for (size_t h = 0; h < r.n_head; ++h) {
    size_t alpha = at.alpha + h;
    size_t beta = at.beta + h;
    if (r.gates_by_key_head) {
      beta = at.alpha + h / n_per_key * 2 * n_per_key + h % n_per_key;
      alpha = beta + n_per_key;
    }
    const float dt = softplus(mix[alpha] + weights.dt_bias[h]);
    mix[at.decay + h] = std::exp(weights.decay[h] * dt);
    mix[at.share + h] = delta ? 1.0f / (1.0f + std::exp(-mix[beta])) : dt;
  }
}

void Decoder::recur(size_t i, KvCache& kv) {
  const RecurrentWeights& weights = weights_.layers[i].recurrent;
  const RecurrentSpec& r = spec_.recurrent;
  const MixColumns at(spec_);
  work_.run(pass_.rows.size(), [&](size_t row, Worker&) { set_gates(i, row); });
  const size_t n_pieces = (r.d_v + kStateColumns - 1) / kStateColumns;
  work_.run(pass_.runs.size() * r.n_head * n_pieces, [&](size_t item, Worker&) {
    const Run& run = pass_.runs[item / n_pieces / r.n_head];
    const size_t h = item / n_pieces % r.n_head;
    const size_t begin = item % n_pieces * kStateColumns;
    const size_t n = std::min(kStateColumns, r.d_v - begin);
    float* state =
        kv.state(run.state, i) + (r.kernel - 1) * spec_.n_conv() + h * r.d_k * r.d_v + begin;
    float y[kStateColumns];
    for (size_t row = run.row_begin; row < run.row_begin + run.n_rows; ++row) {
      float* mix = work_.mix + row * work_.sizes.n_mix;
      float* v = mix + at.value + h * r.d_v + begin;
      const kernels::RecurrenceStep step = {.q = mix + at.query + r.key_head(h) * r.d_k,
                                            .k = mix + at.key + r.key_head(h) * r.d_k,
                                            .d_k = r.d_k,
                                            .decay = mix[at.decay + h],
                                            .beta = mix[at.share + h],
                                            .delta = r.kind == RecurrentKind::kDeltaNet};
      work_.ops().recur(step, v, state, r.d_v, n, y);
      if (!weights.skip.empty()) work_.ops().add_scaled(v, weights.skip[h], y, n);
      std::copy_n(y, n, v);
    }
  });
}

const float* Decoder::recurrent_row(size_t i, size_t row, Worker& worker) const {
  const RecurrentSpec& r = spec_.recurrent;
  if (r.kind == RecurrentKind::kShortConv) return work_.attn + row * work_.sizes.n_attn;
  const std::vector<float>& norm = weights_.layers[i].recurrent.norm;
  const MixColumns at(spec_);
  const float* mix = work_.mix + row * work_.sizes.n_mix;
  if (r.kind == RecurrentKind::kStateSpace) {  // the gate first, then a norm per group
    work_.ops().silu_mul(mix + at.z, mix + at.value, worker.row, r.n_inner());
    const size_t n = r.n_inner() / r.n_head_k;
    for (size_t begin = 0; begin < r.n_inner(); begin += n) {
      float* group = worker.row + begin;
      work_.ops().rms_norm(group, norm.data() + begin, group, n, spec_.norm_eps);
    }
    return worker.row;
  }
  for (size_t h = 0; h < r.n_head; ++h) {
    const float* y = mix + at.value + h * r.d_v;
    work_.ops().rms_norm(y, norm.data(), worker.row + h * r.d_v, r.d_v, spec_.norm_eps);
  }
  work_.ops().silu_mul(mix + at.z, worker.row, worker.row, r.n_inner());
  return worker.row;
}

void Decoder::mix_recurrent(size_t i, KvCache& kv) {
  const LayerWeights& layer = weights_.layers[i];
  recurrent_in(i);
  convolve(i, kv);
  if (spec_.recurrent.kind != RecurrentKind::kShortConv) recur(i, kv);
  project(
      layer.out, layer.out.packed.n_cols,
      [&](size_t row, Worker& worker, bool) { return recurrent_row(i, row, worker); }, work_.y[0]);
  pending_.push_back({work_.y[0], &layer.attn_out});
}

}  // namespace maru::model
