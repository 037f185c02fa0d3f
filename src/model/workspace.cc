#include "model/workspace.h"

#include <algorithm>
#include <atomic>

namespace maru::model {
namespace {

using kernels::Activation;

constexpr size_t kTileBytes = 128 << 10;
constexpr size_t kTilesMin = 16;
constexpr size_t kExpertTilesMin = 4;
constexpr size_t kAlignment = 64;
// Rows that one worker makes at a time where rows are not repeated.
constexpr size_t kRowsPerChunk = 4;
constexpr PerForm<Activation> kActivations = {Activation::kF32, Activation::kInt8,
                                              Activation::kBf16};

// Hands out consecutive parts of an arena; with no arena it only adds up.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}
  // Goes on behind the longer of two that began here and lie over each other.
  void join(const Carver& a, const Carver& b) { n_bytes_ = std::max(a.n_bytes_, b.n_bytes_); }
  std::byte* bytes(size_t n) {
    std::byte* at = base_ == nullptr ? nullptr : base_ + n_bytes_;
    n_bytes_ += (n + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  float* floats(size_t n) { return reinterpret_cast<float*>(bytes(n * sizeof(float))); }
  size_t n_bytes() const { return n_bytes_; }

 private:
  std::byte* base_;
  size_t n_bytes_ = 0;
};

size_t widest_input(const WorkspaceSizes& s) {
  return std::max({s.d_model, s.n_q, s.n_attn, s.n_hidden});
}

size_t tile_groups(const Matrix& matrix, size_t n_tiles_min) {
  const size_t by_bytes = kTileBytes / matrix.packed.group_bytes;
  const size_t n = std::max<size_t>(1, std::min(by_bytes, matrix.packed.n_groups() / n_tiles_min));
  return n + n % 2;  // kernels take two groups at once
}

void cut(const Matrix& matrix, size_t n_groups, std::vector<Tile>& tiles) {
  for (size_t begin = 0; begin < matrix.packed.n_groups(); begin += n_groups) {
    tiles.push_back({&matrix, begin, std::min(begin + n_groups, matrix.packed.n_groups())});
  }
}

}  // namespace

size_t Tile::n_rows() const {
  return std::min(group_end * 16, matrix->packed.n_rows) - row_begin();
}

size_t tile_groups(const Matrix& matrix) { return tile_groups(matrix, kTilesMin); }
size_t expert_tile_groups(const Matrix& matrix) { return tile_groups(matrix, kExpertTilesMin); }

void cut_tiles(const Matrix& matrix, std::vector<Tile>& tiles) {
  cut(matrix, tile_groups(matrix), tiles);
}

void cut_expert(const Matrix& matrix, std::vector<Tile>& tiles) {
  cut(matrix, expert_tile_groups(matrix), tiles);
}

Result<Workspace> Workspace::create(const WorkspaceSizes& sizes, ThreadPool& pool,
                                    const kernels::KernelTable& kernels) {
  Workspace w;
  w.sizes = sizes;
  w.pool_ = &pool;
  w.kernels_ = &kernels;
  w.workers_.resize(pool.n_threads());
  const size_t n_slots = std::max(sizes.n_slots, kPassRows);
  const size_t n_widest = widest_input(sizes);
  const auto carve = [&](Carver carver) {
    w.x = carver.floats(kPassRows * sizes.d_model);
    w.x_next = carver.floats(kPassRows * sizes.d_model);
    for (float*& y : w.y) y = carver.floats(kPassRows * sizes.d_model);
    w.rope = carver.floats(kPassRows * sizes.n_rope);
    // The two halves of a layer use their own by turns.
    Carver mixer = carver, ffn = carver;
    w.q = mixer.floats(kPassRows * sizes.n_q);
    w.k_raw = mixer.floats(kPassRows * sizes.n_q);
    w.v_raw = mixer.floats(kPassRows * sizes.n_q);
    w.attn = mixer.floats(kPassRows * sizes.n_attn);
    w.gate = mixer.floats(kPassRows * sizes.n_gate);
    w.mix = mixer.floats(kPassRows * sizes.n_mix);
    w.hidden = ffn.floats(n_slots * sizes.n_hidden);
    if (sizes.n_slots > 0) {
      w.slot_y = ffn.floats(n_slots * sizes.d_model);
      w.normed = ffn.floats(kPassRows * sizes.d_model);
    }
    carver.join(mixer, ffn);
    for (size_t kind = 0; kind < kActivations.size(); ++kind) {
      if (!sizes.forms[kind]) continue;
      const Activation activation = kActivations[kind];
      const size_t widest = kernels::activation_row_bytes(activation, n_widest);
      const size_t model = kernels::activation_row_bytes(activation, sizes.d_model);
      w.shared[kind] = carver.bytes(n_slots * widest);
      if (sizes.n_slots > 0) w.slot_inputs[kind] = carver.bytes(n_slots * model);
      for (Worker& worker : w.workers_)
        worker.repeated[kind] = carver.bytes(kRepeatedRows * widest);
    }
    for (Worker& worker : w.workers_) {
      worker.x = carver.floats(sizes.d_model);
      worker.row = carver.floats(n_widest);
      worker.spare = carver.floats(sizes.d_model);
      for (float*& tile : worker.tile) tile = carver.floats(kPassRows * sizes.n_tile);
      worker.attention = carver.floats(sizes.n_attention);
    }
    return carver.n_bytes();
  };
  MARU_TRY(arena, Arena::create(carve(Carver(nullptr))));
  w.arena_ = std::move(arena);
  carve(Carver(w.arena_.data()));
  return w;
}

Result<void> Workspace::reserve_low(size_t rank, size_t n_tile) {
  const size_t stride =
      std::max(low_stride, kLowSlots * kernels::activation_row_bytes(Activation::kF32, rank));
  n_tile = std::max({low_tile_, n_tile, sizes.n_tile});
  const size_t n_low = std::max(stride / sizeof(float), kLowRows * n_tile);
  const auto carve = [&](Carver carver) {
    shared_low = carver.bytes(kPassRows * stride);
    for (Worker& worker : workers_) {
      worker.repeated_low = carver.bytes(kRepeatedRows * stride);
      worker.low_x =
          carver.bytes(kernels::activation_row_bytes(Activation::kF32, widest_input(sizes)));
      worker.low = carver.floats(n_low);
    }
    return carver.n_bytes();
  };
  MARU_TRY(arena, Arena::create(carve(Carver(nullptr))));
  low_arena_ = std::move(arena);
  carve(Carver(low_arena_.data()));
  low_stride = stride;
  low_tile_ = n_tile;
  return {};
}

void Workspace::make_activations(size_t row, size_t n_cols, ActivationSet set, const MakeRow& make,
                                 Worker& worker, bool owner, const Activations& out) const {
  const float* values = make(row, worker, owner);
  for (size_t kind = 0; kind < kActivations.size(); ++kind) {
    if (!set.wanted[kind]) continue;
    auto* to = const_cast<std::byte*>(out.row(kActivations[kind], row));
    kernels_->matmul.quantize_row(kActivations[kind], values, n_cols, to);
  }
}

void Workspace::run_stage(size_t n_rows, size_t n_cols, ActivationSet set, MakeRow make,
                          size_t n_chunks, Body body) {
  const uint64_t stage = ++stage_;
  const bool repeat = n_rows <= kRepeatedRows;
  const auto activations_in = [&](const PerForm<std::byte*>& memory) {
    Activations inputs;
    for (size_t kind = 0; kind < kActivations.size(); ++kind) {
      inputs.rows[kind] = memory[kind];
      inputs.stride[kind] = kernels::activation_row_bytes(kActivations[kind], n_cols);
    }
    return inputs;
  };
  if (repeat) {
    run(n_chunks, [&](size_t chunk, Worker& worker) {
      const Activations inputs = activations_in(worker.repeated);
      if (worker.stage != stage) {
        worker.stage = stage;
        const bool owner = std::atomic_ref(owned_stage_).exchange(stage) != stage;
        for (size_t row = 0; row < n_rows; ++row) {
          make_activations(row, n_cols, set, make, worker, owner, inputs);
        }
      }
      body(chunk, worker, inputs);
    });
    return;
  }
  const Activations inputs = activations_in(shared);
  run((n_rows + kRowsPerChunk - 1) / kRowsPerChunk, [&](size_t chunk, Worker& worker) {
    const size_t end = std::min((chunk + 1) * kRowsPerChunk, n_rows);
    for (size_t row = chunk * kRowsPerChunk; row < end; ++row) {
      make_activations(row, n_cols, set, make, worker, true, inputs);
    }
  });
  run(n_chunks, [&](size_t chunk, Worker& worker) { body(chunk, worker, inputs); });
}

void Workspace::run(size_t n_chunks, FunctionRef<void(size_t, Worker&)> body) {
  ++n_barriers_;
  pool_->parallel_for(n_chunks,
                      [&](size_t chunk, size_t worker) { body(chunk, workers_[worker]); });
}

void Workspace::multiply(const Tile& tile, const std::byte* inputs, size_t stride, size_t n_rows,
                         float* y, size_t y_stride, Worker& worker) const {
  kernels::PackedMatrix part = tile.matrix->packed;
  part.data += tile.group_begin * part.group_bytes;
  if (part.low != nullptr) part.low += tile.group_begin * part.low_group_bytes;
  part.n_rows = tile.n_rows();
  const size_t n_groups = tile.group_end - tile.group_begin;
  kernels_->matmul.matmul(part, 0, n_groups, inputs, stride, n_rows, y, y_stride);
  ++worker.counters.matmul_calls;
  worker.counters.weight_bytes += n_groups * (part.group_bytes + part.low_group_bytes);
}

void Workspace::multiply(const Tile& tile, const Activations& inputs, size_t first_row,
                         size_t n_rows, float* y, size_t y_stride, Worker& worker) const {
  const Activation kind = tile.matrix->activation;
  multiply(tile, inputs.row(kind, first_row), inputs.stride[static_cast<size_t>(kind)], n_rows, y,
           y_stride, worker);
}

Counters Workspace::counters() const {
  Counters sum;
  for (const Worker& worker : workers_) {
    sum.matmul_calls += worker.counters.matmul_calls;
    sum.weight_bytes += worker.counters.weight_bytes;
  }
  sum.barriers = n_barriers_;
  sum.rows = n_rows_;
  return sum;
}

}  // namespace maru::model
