// model/workspace.h - the memory and the parallel machinery of a forward pass: rows become
// activations, activations meet matrices, and one barrier ends each stage.
//
// Used by the decoder's stages only (decoder.cc, attention.cc, latent.cc, recurrent.cc, moe.cc), on
// the engine thread; the
// bodies run on the pool's workers. It must not know layers or caches.
#pragma once
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "base/thread_pool.h"
#include "model/arena.h"
#include "model/counters.h"
#include "model/pass.h"
#include "model/weights.h"

namespace maru::model {

// Up to so many rows each worker makes the activations for itself instead of waiting at a barrier:
// a row of 1536 costs about a microsecond.
inline constexpr size_t kRepeatedRows = 4;

// Matrices of one stage, at most, and rows that an adapter's part is added to at a time.
inline constexpr size_t kLowSlots = 3;
inline constexpr size_t kLowRows = 16;

// One for each form of inputs (kernels::Activation).
template <class T>
using PerForm = std::array<T, kernels::kActivationKinds>;

// The inputs of a stage; only the forms that were asked for are there.
struct Activations {
  PerForm<const std::byte*> rows = {};
  PerForm<size_t> stride = {};

  const std::byte* row(kernels::Activation kind, size_t i) const {
    return rows[static_cast<size_t>(kind)] + i * stride[static_cast<size_t>(kind)];
  }
};

// Which forms a stage's matrices want.
struct ActivationSet {
  PerForm<bool> wanted = {};
  void add(const Matrix& m) { wanted[static_cast<size_t>(m.activation)] |= m.present(); }
};

// Rows [group_begin, group_end) x 16 of a matrix: what one worker computes at a time.
struct Tile {
  const Matrix* matrix = nullptr;
  size_t group_begin = 0;
  size_t group_end = 0;

  size_t row_begin() const { return group_begin * 16; }
  size_t n_rows() const;
};

// The largest sizes that any layer needs.
struct WorkspaceSizes {
  size_t d_model = 0;
  size_t n_q = 0;            // values of all heads' queries (or keys, or values)
  size_t n_attn = 0;         // values of all heads' outputs
  size_t n_hidden = 0;       // inputs of the widest down projection
  size_t n_slots = 0;        // rows of the feed-forward: more than tokens where experts are used
  size_t n_tile = 0;         // rows of the widest tile
  size_t n_attention = 0;    // floats of one worker's attention
  size_t n_rope = 0;         // values of all rope tables of one row
  size_t n_gate = 0;         // gates of all heads' outputs
  size_t n_mix = 0;          // values of a row in a layer without attention
  PerForm<bool> forms = {};  // that any matrix wants
};

class Workspace {
 public:
  static Result<Workspace> create(const WorkspaceSizes& sizes, ThreadPool& pool,
                                  const kernels::KernelTable& kernels);

  // One worker's private memory.
  struct Worker {
    float* x;                                // [d_model]
    float* row;                              // [widest input]: the row being made
    float* spare;                            // [d_model]
    float* tile[2];                          // [kPassRows, n_tile]
    float* attention;                        // [n_attention]
    PerForm<std::byte*> repeated;            // [kRepeatedRows, activation row]
    uint64_t stage = 0;                      // whose activations `repeated` holds
    std::array<float, kRepeatedRows> reach;  // of the output's rows: kernels/planes.h
    uint64_t reach_stage = 0;                // to which they belong
    std::byte* repeated_low = nullptr;       // [kRepeatedRows, low_stride]
    std::byte* low_x = nullptr;              // one row of inputs, as floats
    float* low = nullptr;                    // [rank], or [kLowRows, rows of a tile]
    Counters counters;
  };

  // Makes row `row` of a stage's input and returns it. `owner` is true for exactly one caller per
  // row, who may store what other stages read.
  using MakeRow = FunctionRef<const float*(size_t row, Worker& worker, bool owner)>;
  using Body = FunctionRef<void(size_t chunk, Worker& worker, const Activations& inputs)>;

  // Rows are made, quantized as `set` asks, and then body runs for each chunk.
  void run_stage(size_t n_rows, size_t n_cols, ActivationSet set, MakeRow make, size_t n_chunks,
                 Body body);
  // Only the second half, without inputs.
  void run(size_t n_chunks, FunctionRef<void(size_t chunk, Worker& worker)> body);

  // Memory for what adapters make of a row: up to kLowSlots vectors of up to `rank` values, and of
  // tiles of up to n_tile rows. Called again for each adapter; what is there is kept.
  // Errors: kResourceExhausted.
  Result<void> reserve_low(size_t rank, size_t n_tile);
  // Of row `row` of a stage of n_rows, beside the row's activations.
  std::byte* low_row(size_t row, size_t n_rows, Worker& worker) const {
    return (n_rows <= kRepeatedRows ? worker.repeated_low : shared_low) + row * low_stride;
  }

  // y[t * y_stride + r] for the tile's rows r counted from 0, t < n_rows.
  void multiply(const Tile& tile, const Activations& inputs, size_t first_row, size_t n_rows,
                float* y, size_t y_stride, Worker& worker) const;
  // The same for rows that lie at `inputs`, `stride` bytes apart.
  void multiply(const Tile& tile, const std::byte* inputs, size_t stride, size_t n_rows, float* y,
                size_t y_stride, Worker& worker) const;

  const kernels::OpsTable& ops() const { return kernels_->ops; }
  const kernels::MatmulTable& matmul() const { return kernels_->matmul; }
  size_t n_threads() const { return pool_->n_threads(); }
  size_t n_bytes() const { return arena_.size(); }
  Counters counters() const;
  void count_rows(size_t n) { n_rows_ += n; }

  // Shared rows; strides are the sizes of the same name.
  float* x = nullptr;       // [kPassRows, d_model]: the residual stream
  float* x_next = nullptr;  // the same, being written
  float* y[2] = {};         // [kPassRows, d_model]: outputs not yet added to x
  // Of the mixer, beside which those of the feed-forward (hidden, slot_y, normed) hold nothing.
  float* q = nullptr;      // [kPassRows, n_q], scaled and rotated
  float* k_raw = nullptr;  // [kPassRows, n_q]: where heads are not tiles
  float* v_raw = nullptr;
  float* attn = nullptr;                 // [kPassRows, n_attn]
  float* hidden = nullptr;               // [n_slots, n_hidden]
  float* slot_y = nullptr;               // [n_slots, d_model]: where experts are used
  float* normed = nullptr;               // [kPassRows, d_model]: the same
  PerForm<std::byte*> slot_inputs = {};  // [n_slots, activation row of d_model]
  PerForm<std::byte*> shared = {};  // [n_slots, widest activation row]: the current stage's inputs
  std::byte* shared_low = nullptr;  // [kPassRows, low_stride]
  size_t low_stride = 0;            // bytes
  float* rope = nullptr;            // [kPassRows, n_rope]
  float* gate = nullptr;            // [kPassRows, n_gate]
  float* mix = nullptr;             // [kPassRows, n_mix]
  WorkspaceSizes sizes;

 private:
  Workspace() = default;
  void make_activations(size_t row, size_t n_cols, ActivationSet set, const MakeRow& make,
                        Worker& worker, bool owner, const Activations& out) const;

  ThreadPool* pool_ = nullptr;
  const kernels::KernelTable* kernels_ = nullptr;
  Arena arena_;
  Arena low_arena_;
  size_t low_tile_ = 0;
  std::vector<Worker> workers_;
  uint64_t stage_ = 0;
  uint64_t owned_stage_ = 0;  // whose rows have an owner; atomically
  uint64_t n_barriers_ = 0;
  uint64_t n_rows_ = 0;
};

// Cuts all rows of a matrix into tiles of about 128 KiB and pairs of groups, about 16 where there
// are that many. The cut does not depend on the number of threads.
void cut_tiles(const Matrix& matrix, std::vector<Tile>& tiles);
// How many groups such a tile has.
size_t tile_groups(const Matrix& matrix);
// The same for one expert's matrix: several of them are read at once, so that tiles need not be
// many, and longer streams are read faster.
void cut_expert(const Matrix& matrix, std::vector<Tile>& tiles);
size_t expert_tile_groups(const Matrix& matrix);

}  // namespace maru::model
