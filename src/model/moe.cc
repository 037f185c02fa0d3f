// model/moe.cc - the decoder's mixture of experts: rows are sorted by expert, so that each expert's
// weights are read once per pass.
//
//   1  add, norm, router's logits                    (a stage over the router matrix)
//   2  choose experts; slots sorted by expert        (engine thread)
//   3  quantize each slot's input where its expert's others lie
//   4  gate, up and activation per expert
//   5  down per expert
//   6  each row adds its slots' results, best choice first, the shared expert last
//
// Source: Shazeer et al. 2017 (arXiv:1701.06538), section 2.
#include "model/moe.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "model/decoder.h"

namespace maru::model {
namespace {

// Scores of all experts become weights as `gating` says.
void gate_scores(Gating gating, std::vector<float>& scores) {
  if (gating == Gating::kSoftmaxOfBest) return;  // later, over the chosen
  if (gating == Gating::kSigmoid) {
    for (float& s : scores) s = 1.0f / (1.0f + std::exp(-s));
    return;
  }
  const float best = *std::ranges::max_element(scores);
  float sum = 0.0f;
  for (float& s : scores) sum += s = std::exp(s - best);
  for (float& s : scores) s /= sum;
}

// The first n of order are those with the highest rank, best first.
template <class Rank>
void put_best_first(std::vector<size_t>& order, size_t n, const Rank& rank) {
  std::partial_sort(
      order.begin(), order.begin() + static_cast<ptrdiff_t>(n), order.end(),
      [&](size_t a, size_t b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
  order.resize(n);
}

}  // namespace

void choose_experts(const MoeSpec& moe, std::span<const float> scores, std::span<const float> bias,
                    std::vector<size_t>& chosen) {
  const auto rank = [&](size_t e) { return scores[e] + (bias.empty() ? 0.0f : bias[e]); };
  const size_t n_per_group = moe.n_expert / moe.n_group;
  std::vector<size_t> groups(moe.n_group);
  std::iota(groups.begin(), groups.end(), size_t{0});
  if (moe.n_group > 1) {
    std::vector<float> of_group(moe.n_group);
    for (size_t g = 0; g < moe.n_group; ++g) {
      chosen.resize(n_per_group);
      std::iota(chosen.begin(), chosen.end(), g * n_per_group);
      put_best_first(chosen, std::min<size_t>(2, n_per_group), rank);
      of_group[g] = rank(chosen[0]);
      if (moe.gating == Gating::kSigmoid && chosen.size() > 1) of_group[g] += rank(chosen[1]);
    }
    put_best_first(groups, moe.n_group_used, [&](size_t g) { return of_group[g]; });
  }
  chosen.clear();
  for (const size_t g : groups) {
    for (size_t e = g * n_per_group; e < (g + 1) * n_per_group; ++e) chosen.push_back(e);
  }
  put_best_first(chosen, moe.n_used, rank);
}

void Decoder::route(size_t i) {
  const LayerWeights& layer = weights_.layers[i];
  const MoeSpec& moe = spec_.moe;
  slots_.clear();
  std::vector<float> scores(moe.n_expert);
  std::vector<size_t> order;
  for (size_t row = 0; row < pass_.rows.size(); ++row) {
    std::copy_n(work_.hidden + row * work_.sizes.n_hidden, moe.n_expert, scores.begin());
    gate_scores(moe.gating, scores);
    choose_experts(moe, scores, layer.selection_bias, order);
    std::vector<float> weights;
    for (size_t k = 0; k < moe.n_used; ++k) weights.push_back(scores[order[k]]);
    if (moe.gating == Gating::kSoftmaxOfBest) gate_scores(Gating::kSoftmax, weights);
    const float sum = std::accumulate(weights.begin(), weights.end(), 0.0f);
    for (size_t k = 0; k < moe.n_used; ++k) {
      const float weight = (moe.normalize ? weights[k] / sum : weights[k]) * moe.scale;
      slots_.push_back({order[k], row, k, weight});
    }
    if (moe.d_ff_shared == 0) continue;
    float weight = 1.0f;
    if (!layer.shared_gate.empty()) {
      const float* x = work_.normed + row * spec_.d_model;
      const float dot = std::inner_product(x, x + spec_.d_model, layer.shared_gate.begin(), 0.0f);
      weight = 1.0f / (1.0f + std::exp(-dot));
    }
    slots_.push_back({moe.n_expert, row, moe.n_used, weight});
  }
  std::ranges::sort(slots_, {}, [](const Slot& s) { return std::pair(s.expert, s.row); });
  slot_of_.resize(slots_.size());
  const size_t n_per_row = slots_.size() / pass_.rows.size();
  for (size_t s = 0; s < slots_.size(); ++s) {
    slot_of_[slots_[s].row * n_per_row + slots_[s].rank] = s;
  }
}

void Decoder::experts(size_t i) {
  const LayerWeights& layer = weights_.layers[i];
  const size_t n_rows = pass_.rows.size();
  const size_t d_model = spec_.d_model;
  begin_adapted({});  // no adapter changes experts
  tiles_.clear();
  cut_tiles(layer.router, tiles_);
  const Ffn& any = layer.experts.front();
  const Ffn& last = layer.experts.back();
  ActivationSet set;
  for (const Matrix* m : {&any.gate, &any.up, &last.gate, &last.up}) set.add(*m);
  ActivationSet with_router = set;
  with_router.add(layer.router);
  // The inputs are kept beyond the stage, so they are made here once instead of by each worker.
  PerForm<size_t> stride = {};
  for (size_t kind = 0; kind < stride.size(); ++kind) {
    stride[kind] = kernels::activation_row_bytes(static_cast<kernels::Activation>(kind), d_model);
  }
  const PerForm<std::byte*>& inputs = work_.slot_inputs;
  work_.run_stage(
      n_rows, d_model, with_router,
      [&](size_t row, Worker& worker, bool owner) {
        const float* x = ffn_row(layer, row, worker, owner);
        if (owner) std::copy_n(x, d_model, work_.normed + row * d_model);
        return x;
      },
      tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& in) {
        const Tile& tile = tiles_[chunk];
        float* to = work_.hidden + tile.row_begin();
        work_.multiply(tile, in, 0, n_rows, to, work_.sizes.n_hidden, worker);
        for (size_t row = 0; row < n_rows && !layer.router.bias.empty(); ++row) {
          for (size_t r = 0; r < tile.n_rows(); ++r) {
            to[row * work_.sizes.n_hidden + r] += layer.router.bias[tile.row_begin() + r];
          }
        }
      });
  if (!spec_.parallel_residual) finish_residual();
  route(i);

  // Each slot's input lies where its expert's others lie.
  run_slots([&](size_t s) {
    const float* x = work_.normed + slots_[s].row * d_model;
    for (size_t kind = 0; kind < stride.size(); ++kind) {
      if (!set.wanted[kind]) continue;
      work_.matmul().quantize_row(static_cast<kernels::Activation>(kind), x, d_model,
                                  inputs[kind] + s * stride[kind]);
    }
  });
  cut_expert_tiles(layer, &Ffn::up);
  work_.run(expert_tiles_.size(), [&](size_t chunk, Worker& worker) {
    const ExpertTile& t = expert_tiles_[chunk];
    const Ffn& ffn = layer.experts[t.expert];
    const auto at = [&](const Matrix& m) {
      const auto kind = static_cast<size_t>(m.activation);
      return inputs[kind] + t.slot_begin * stride[kind];
    };
    const size_t n = t.slot_end - t.slot_begin;
    ffn_tile(ffn, t.tile, at(ffn.gate), at(ffn.up), stride, n,
             work_.hidden + t.slot_begin * work_.sizes.n_hidden, worker);
  });
  experts_down(i);
  work_.run(n_rows, [&](size_t row, Worker&) { add_slots(row); });
  pending_.push_back({work_.y[1], &layer.ffn_out});
}

// A chunk is as many slots as take about a microsecond, so that one token's need no barrier.
void Decoder::run_slots(FunctionRef<void(size_t slot)> body) {
  constexpr size_t kSlotsPerChunk = 16;
  work_.run((slots_.size() + kSlotsPerChunk - 1) / kSlotsPerChunk, [&](size_t chunk, Worker&) {
    const size_t end = std::min((chunk + 1) * kSlotsPerChunk, slots_.size());
    for (size_t slot = chunk * kSlotsPerChunk; slot < end; ++slot) body(slot);
  });
}

void Decoder::cut_expert_tiles(const LayerWeights& layer, Matrix Ffn::* matrix) {
  expert_tiles_.clear();
  for (size_t begin = 0; begin < slots_.size();) {
    const size_t expert = slots_[begin].expert;
    size_t end = begin + 1;
    while (end < slots_.size() && slots_[end].expert == expert) ++end;
    tiles_.clear();
    cut_expert(layer.experts[expert].*matrix, tiles_);
    for (const Tile& tile : tiles_) expert_tiles_.push_back({tile, expert, begin, end});
    begin = end;
  }
}

void Decoder::experts_down(size_t i) {
  const LayerWeights& layer = weights_.layers[i];
  const auto down_of = [&](size_t slot) -> const Matrix& {
    return layer.experts[slots_[slot].expert].down;
  };
  // All slots at one stride, that of the widest hidden row.
  const auto row_of = [&](const Matrix& m, size_t slot) {
    const size_t stride = kernels::activation_row_bytes(m.activation, work_.sizes.n_hidden);
    return std::pair{work_.shared[static_cast<size_t>(m.activation)] + slot * stride, stride};
  };
  run_slots([&](size_t s) {
    const Matrix& down = down_of(s);
    work_.matmul().quantize_row(down.activation, work_.hidden + s * work_.sizes.n_hidden,
                                down.packed.n_cols, row_of(down, s).first);
  });
  cut_expert_tiles(layer, &Ffn::down);
  work_.run(expert_tiles_.size(), [&](size_t chunk, Worker& worker) {
    const ExpertTile& t = expert_tiles_[chunk];
    const Matrix& down = down_of(t.slot_begin);
    const auto [rows, stride] = row_of(down, t.slot_begin);
    const size_t n_slots = t.slot_end - t.slot_begin;
    float* to = work_.slot_y + t.slot_begin * spec_.d_model + t.tile.row_begin();
    work_.multiply(t.tile, rows, stride, n_slots, to, spec_.d_model, worker);
    for (size_t s = 0; s < n_slots && !down.bias.empty(); ++s) {
      for (size_t r = 0; r < t.tile.n_rows(); ++r) {
        to[s * spec_.d_model + r] += down.bias[t.tile.row_begin() + r];
      }
    }
  });
}

void Decoder::add_slots(size_t row) {
  const size_t n_slots = spec_.moe.n_used + (spec_.moe.d_ff_shared > 0 ? 1 : 0);
  float* y = work_.y[1] + row * spec_.d_model;
  std::fill_n(y, spec_.d_model, 0.0f);
  for (size_t k = 0; k < n_slots; ++k) {
    const size_t s = slot_of_[row * n_slots + k];
    work_.ops().add_scaled(work_.slot_y + s * spec_.d_model, slots_[s].weight, y, spec_.d_model);
  }
}

}  // namespace maru::model
