// model/output.cc - the last stage of a pass: final norm, output matrix, logits; or the vectors
// before it.
//
// An output matrix in planes (output_planes.h) gives the bits that it gives without. Where few
// logits are wanted:
//
//   1  the high plane's products, and from them for each group a value that none of its logits
//      exceeds
//   2  all of the groups where that is largest: the n-th best logit of those is the cut
//   3  all of the groups that may have a logit at the cut or above; -inf for the others
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"
#include "kernels/planes.h"
#include "model/decoder.h"

namespace maru::model {
namespace {

constexpr size_t kGroupRows = kernels::kGroupRows;
constexpr float kLowest = -std::numeric_limits<float>::infinity();
// Groups beyond those wanted that are computed first: the cut may be higher for it.
constexpr size_t kMoreSeeds = 3;
// Groups that a worker looks at, at a time.
constexpr size_t kGroupsPerChunk = 64;

// One bit for each row of a group that counts.
uint32_t allowed_rows(const WantedLogits& wanted, size_t group) {
  if (wanted.allowed.empty()) return 0xFFFF;
  const size_t word = group * kGroupRows / 64;
  if (word >= wanted.allowed.size()) return 0;
  return wanted.allowed[word] >> (group * kGroupRows % 64) & 0xFFFF;
}

}  // namespace

void Decoder::output(std::span<float> logits) {
  if (weights_.planes && !pass_.has_adapters && wants_few_logits()) return output_best(logits);
  const Matrix& matrix = weights_.output;
  const size_t n_rows = pass_.logit_rows.size();
  tiles_.clear();
  cut_tiles(matrix, tiles_);
  ActivationSet set;
  set.add(matrix);
  begin_adapted({&matrix}, &pass_.logit_rows);
  work_.run_stage(
      n_rows, spec_.d_model, set,
      [&](size_t row, Worker& worker, bool owner) {
        const float* x = residual_row(weights_.final_norm, pass_.logit_rows[row], worker, owner);
        return with_low(x, row, worker);
      },
      tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        const Tile& tile = tiles_[chunk];
        float* to = logits.data() + tile.row_begin();
        work_.multiply(tile, inputs, 0, n_rows, to, spec_.n_vocab, worker);
        add_low(tile, to, spec_.n_vocab, worker);
        for (size_t row = 0; row < n_rows; ++row) {
          finish_logits(tile.row_begin(), tile.n_rows(), to + row * spec_.n_vocab);
        }
      });
  finish_residual();
}

bool Decoder::wants_few_logits() const {
  return pass_.wanted.size() <= kRepeatedRows &&
         std::ranges::all_of(pass_.wanted, [](const WantedLogits& wanted) {
           return wanted.n_best > 0 && wanted.n_best <= kBestMax;
         });
}

void Decoder::output_best(std::span<float> logits) {
  const size_t n_rows = pass_.logit_rows.size();
  const size_t n_groups = weights_.output.packed.n_groups();
  search_.is_done.assign(n_groups, 0);
  search_.seeds.clear();
  find_uppers();
  for (size_t row = 0; row < n_rows; ++row) find_seeds(row);
  ActivationSet set;
  set.add(weights_.output);
  const auto make = [&](size_t row, Worker&, bool) -> const float* {
    return search_.rows.data() + row * spec_.d_model;
  };
  const auto multiply = [&](size_t group, Worker& worker, const Activations& inputs) {
    float* to = logits.data() + group * kGroupRows;
    work_.multiply({&weights_.output, group, group + 1}, inputs, 0, n_rows, to, spec_.n_vocab,
                   worker);
  };
  work_.run_stage(n_rows, spec_.d_model, set, make, search_.seeds.size(),
                  [&](size_t chunk, Worker& worker, const Activations& inputs) {
                    multiply(search_.seeds[chunk], worker, inputs);
                  });
  search_.cuts.clear();
  for (size_t row = 0; row < n_rows; ++row) search_.cuts.push_back(cut_of(row, logits));
  const auto is_wanted = [&](size_t group) {
    for (size_t row = 0; row < n_rows; ++row) {
      const float upper = search_.uppers[row * n_groups + group];
      if (upper > kLowest && !(upper < search_.cuts[row])) return true;
    }
    return false;
  };
  work_.run_stage(n_rows, spec_.d_model, set, make,
                  (n_groups + kGroupsPerChunk - 1) / kGroupsPerChunk,
                  [&](size_t chunk, Worker& worker, const Activations& inputs) {
                    const size_t end = std::min((chunk + 1) * kGroupsPerChunk, n_groups);
                    for (size_t group = chunk * kGroupsPerChunk; group < end; ++group) {
                      if (search_.is_done[group] != 0) continue;
                      if (is_wanted(group)) {
                        multiply(group, worker, inputs);
                        continue;
                      }
                      const size_t first = group * kGroupRows;
                      const size_t n = std::min(kGroupRows, spec_.n_vocab - first);
                      for (size_t row = 0; row < n_rows; ++row) {
                        std::fill_n(logits.data() + row * spec_.n_vocab + first, n, kLowest);
                      }
                    }
                  });
}

// What no logit of each group exceeds; and the rows' inputs, for the stages that follow.
void Decoder::find_uppers() {
  const OutputPlanes& planes = *weights_.planes;
  const size_t n_rows = pass_.logit_rows.size(), n_cols = spec_.d_model;
  const size_t n_groups = planes.high.packed.n_groups();
  search_.rows.resize(n_rows * n_cols);
  search_.uppers.resize(n_rows * n_groups);
  tiles_.clear();
  cut_tiles(planes.high, tiles_);
  ActivationSet set;
  set.add(planes.high);
  work_.run_stage(
      n_rows, n_cols, set,
      [&](size_t row, Worker& worker, bool owner) {
        const float* x = residual_row(weights_.final_norm, pass_.logit_rows[row], worker, owner);
        if (owner) std::copy_n(x, n_cols, search_.rows.data() + row * n_cols);
        return x;
      },
      tiles_.size(),
      [&](size_t chunk, Worker& worker, const Activations& inputs) {
        const Tile& tile = tiles_[chunk];
        const size_t n = (tile.group_end - tile.group_begin) * kGroupRows;
        if (worker.reach_stage != worker.stage) {
          worker.reach_stage = worker.stage;
          for (size_t row = 0; row < n_rows; ++row) {
            worker.reach[row] = kernels::activation_reach(inputs.row(planes.high.activation, row),
                                                          n_cols, planes.inverse.data());
          }
        }
        // Below the last row of the matrix nothing is written, and no logit counts.
        if (tile.n_rows() < n) {
          for (size_t row = 0; row < n_rows; ++row) {
            std::fill_n(worker.tile[0] + row * n + tile.n_rows(), n - tile.n_rows(), kLowest);
          }
        }
        work_.multiply(tile, inputs, 0, n_rows, worker.tile[0], n, worker);
        for (size_t row = 0; row < n_rows; ++row) {
          const float* rests = planes.rests.data() + tile.row_begin();
          float* sums = worker.tile[0] + row * n;
          if (!pass_.wanted[row].allowed.empty()) {
            for (size_t i = 0; i < n; ++i) {
              const uint32_t rows = allowed_rows(pass_.wanted[row], tile.group_begin + i / 16);
              if ((rows >> i % 16 & 1) == 0) sums[i] = kLowest;
            }
          }
          work_.ops().upper_bounds(sums, rests, worker.reach[row], n / kGroupRows,
                                   search_.uppers.data() + row * n_groups + tile.group_begin);
        }
      });
  finish_residual();
}

// The groups with the largest uppers, as many as logits are wanted and a few.
void Decoder::find_seeds(size_t row) {
  const size_t n_groups = weights_.output.packed.n_groups();
  const float* uppers = search_.uppers.data() + row * n_groups;
  const size_t n = std::min(pass_.wanted[row].n_best + kMoreSeeds, n_groups);
  std::vector<std::pair<float, size_t>>& likeliest = search_.likeliest;
  likeliest.clear();
  float bound = kLowest;
  const auto keep = [&] {
    if (likeliest.size() <= n) return;
    std::ranges::nth_element(likeliest, likeliest.begin() + static_cast<ptrdiff_t>(n - 1),
                             std::greater<>());
    likeliest.resize(n);
    bound = likeliest.back().first;
  };
  for (size_t group = 0; group < n_groups; ++group) {
    if (!(uppers[group] > bound)) continue;
    likeliest.emplace_back(uppers[group], group);
    if (likeliest.size() >= 2 * n) keep();
  }
  keep();
  for (const auto& [upper, group] : likeliest) {
    if (search_.is_done[group] == 0) search_.seeds.push_back(group);
    search_.is_done[group] = 1;
  }
  // Those that are listed are computed in any case, but say nothing about the others.
  for (const TokenId id : pass_.wanted[row].listed) {
    search_.uppers[row * n_groups + static_cast<size_t>(id) / kGroupRows] =
        std::numeric_limits<float>::infinity();
  }
}

// No logit below it is wanted: the n-th best of the seeds', -inf where there are not so many.
float Decoder::cut_of(size_t row, std::span<const float> logits) {
  const WantedLogits& wanted = pass_.wanted[row];
  std::vector<float>& values = search_.values;
  values.clear();
  for (const size_t group : search_.seeds) {
    const uint32_t allowed = allowed_rows(wanted, group);
    const size_t first = group * kGroupRows;
    for (size_t r = 0; r < std::min(kGroupRows, spec_.n_vocab - first); ++r) {
      const float logit = logits[row * spec_.n_vocab + first + r];
      if ((allowed >> r & 1) == 0 || std::isnan(logit)) continue;
      if (std::ranges::binary_search(wanted.listed, static_cast<TokenId>(first + r))) continue;
      values.push_back(logit);
    }
  }
  if (values.size() < wanted.n_best) return kLowest;
  const auto nth = values.begin() + static_cast<ptrdiff_t>(wanted.n_best - 1);
  std::ranges::nth_element(values, nth, std::greater<>());
  return *nth - wanted.within;
}

void Decoder::output_hidden(std::span<float> hidden) {
  work_.run(pass_.logit_rows.size(), [&](size_t row, Worker& worker) {
    const float* values = residual_row(weights_.final_norm, pass_.logit_rows[row], worker, true);
    std::copy_n(values, spec_.d_model, hidden.data() + row * spec_.d_model);
  });
  finish_residual();
}

void Decoder::finish_logits(size_t begin, size_t n, float* logits) const {
  add_bias(weights_.output.bias, begin, logits, n);
  if (spec_.logit_scale != 1.0f) {
    for (size_t i = 0; i < n; ++i) logits[i] *= spec_.logit_scale;
  }
  if (spec_.logit_softcap == 0.0f) return;
  for (size_t i = 0; i < n; ++i) {
    logits[i] = std::tanh(logits[i] / spec_.logit_softcap) * spec_.logit_softcap;
  }
}

}  // namespace maru::model
