// kernels/matmul.inl.h - the body of quantize_row and matmul, written once over a vocabulary that
// each matmul_<isa>.cc supplies before it includes this inside its own namespace and target region.
// No include guard, and no includes but of its parts for other matrices: those belong to the
// including file.
//
// Included after the vocabulary, kernels/formats.inl.h and
//   kTileGroups        groups at once: more share a loaded activation, where it is loads that bound
//   kTileColumns       columns at once
//   kHalvesTileGroups, kHalvesTileColumns  of formats with two sums per run
//   kFloatTileGroups, kFloatTileColumns    of float matrices; kFloatGroupColumns: of one group
//
// A tile is kTileGroups groups of 16 rows by up to kTileColumns columns; its sums stay in
// registers. Per run of 32 values each line of codes is unpacked once and used for all columns.

// Minus offset times the sum of the activations: of the run, or of half h of it.
template <class F>
MARU_INLINE Ints first_ints(const ActivationBlock& x, int h) {
  if constexpr (F::kOffset == 8) return set_int(&x.minus_8_sum);
  if constexpr (F::kOffset == 16) return set_int(&x.minus_16_sum);
  if constexpr (F::kOffset == 128) return wide_start(&x.minus_128_sum);
  if constexpr (F::kOffset == 32) return set_int(&x.minus_32_half_sums[h]);
  if constexpr (F::kOffset == 4) return shift_down<3>(set_int(&x.minus_32_half_sums[h]));
  return Ints{};
}

// Lines to ask for while a tile is computed, spread evenly over its runs: where several tiles read
// the same groups, each asks for its part of the groups that follow, so that memory is read all
// the time and not during the first tile alone.
struct Ahead {
  const uint8_t* next = nullptr;
  size_t lines_per_step = 0;  // in 1/65536; a step is a run, or 4 columns of floats
  bool near = false;          // ask for these groups too, kPrefetchBytes ahead
};

// For tile t of n_tiles that read the n_lines from `base` on in n_steps; first: no tile before them
// has asked for these.
MARU_INLINE Ahead ahead_of(size_t t, size_t n_tiles, const uint8_t* base, size_t n_lines,
                           size_t n_steps, bool first) {
  Ahead asked;
  asked.near = t == 0 && (n_tiles == 1 || first);
  if (n_tiles > 1) {
    const size_t begin = n_lines * t / n_tiles, end = n_lines * (t + 1) / n_tiles;
    asked.next = base + (n_lines + begin) * kLineBytes;
    asked.lines_per_step = ((end - begin) << 16) / n_steps;
  }
  return asked;
}

// What a tile of kGroups groups from `base` on asks for while it uses kStepBytes of each in a step.
template <int kGroups, size_t kStepBytes>
class Asking {
 public:
  MARU_INLINE Asking(const Ahead& asked, const uint8_t* base, size_t group_bytes)
      : asked_(asked), end_(base + group_bytes), group_bytes_(group_bytes) {}

  // at: where the step reads the first group.
  MARU_INLINE void step(const uint8_t* at) {
    for (due_ += asked_.lines_per_step; n_asked_ < due_ >> 16; ++n_asked_) {
      prefetch(asked_.next + n_asked_ * kLineBytes);
    }
    if (!asked_.near) return;
    const uint8_t* ahead = at + kPrefetchBytes;
    // What follows a group in its stream belongs to the next tile.
    if (ahead >= end_) ahead += (kGroups - 1) * group_bytes_;
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
      MARU_UNROLL for (size_t line = 0; line < kStepBytes; line += kLineBytes) {
        prefetch(ahead + static_cast<size_t>(g) * group_bytes_ + line);
      }
    }
  }

 private:
  const Ahead& asked_;
  const uint8_t* end_;
  size_t group_bytes_;
  size_t due_ = 0;  // lines in 1/65536
  size_t n_asked_ = 0;
};

constexpr size_t kColumnBlockMax = 256;

// One run of kGroups groups, as read by a tile: pointers into the first one's unit.
struct RunAt {
  const uint8_t* low;
  const uint8_t* high;
  const uint8_t* scales;
  const uint8_t* deltas;
  size_t sub;          // of the block
  size_t group_bytes;  // from group to group
  const uint8_t* low_plane;
  size_t low_plane_bytes;  // from group to group
};

template <class F>
MARU_INLINE RunScales scales_of(const RunAt& at, int g) {
  const size_t offset = static_cast<size_t>(g) * at.group_bytes;
  return run_scales<F>(at.scales + offset, at.deltas + offset, at.sub);
}

// dots[c][g] = what lines [kBegin, kEnd) of the run give.
template <class F, int kBegin, int kEnd, int kColumns, int kGroups>
MARU_INLINE void dot_lines(const RunAt& at, const ActivationBlock* const (&x)[kColumns], size_t run,
                           Ints (&dots)[kColumns][kGroups]) {
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
      dots[c][g] = first_ints<F>(x[c][run], kBegin / 4);
    }
  }
  unroll<kEnd - kBegin>([&](auto line) MARU_INLINE_LAMBDA {
    constexpr int l = kBegin + decltype(line)::value;
    Bytes w[kGroups];
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
      const size_t offset = static_cast<size_t>(g) * at.group_bytes;
      const uint8_t* low_plane = at.low_plane + static_cast<size_t>(g) * at.low_plane_bytes;
      w[g] = weights_line<F, l>(at.low + offset, at.high + offset, low_plane);
    }
    MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
      const Bytes q = kGroups > 1 ? held(four(x[c][run].q + 4 * l)) : four(x[c][run].q + 4 * l);
      MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
        dots[c][g] = F::kWide ? wide_dot(dots[c][g], w[g], q) : dot(dots[c][g], w[g], q);
      }
    }
  });
}

// Adds one run to the sums of a tile.
template <class F, int kColumns, int kGroups>
MARU_INLINE void add_run(const RunAt& at, const ActivationBlock* const (&x)[kColumns], size_t run,
                         Floats (&sums)[kColumns][kGroups]) {
  constexpr int kFirstEnd = F::kHalves ? 4 : 8;
  Ints dots[kColumns][kGroups];
  Floats u[kColumns][kGroups];
  dot_lines<F, 0, kFirstEnd>(at, x, run, dots);
  MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
    const RunScales s = scales_of<F>(at, g);
    MARU_UNROLL for (int c = 0; c < kColumns; ++c) u[c][g] = first_part(dots[c][g], s);
  }
  if constexpr (F::kHalves) dot_lines<F, 4, 8>(at, x, run, dots);
  MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
    const RunScales s = scales_of<F>(at, g);
    MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
      u[c][g] = other_parts<F>(u[c][g], dots[c][g], s, x[c][run]);
      sums[c][g] = fma(u[c][g], set_float(&x[c][run].scale), sums[c][g]);
    }
  }
}

// What int8_tile needs to know of a call.
struct Int8Call {
  PackedGroup group;
  size_t n_rows;
  // Of BothPlanes: the tile's first group, bytes of each, and what a tile asks for.
  const uint8_t* low_plane = nullptr;
  size_t low_plane_bytes = 0;
  Ahead low_asked = {};
};

// kGroups groups by kColumns columns, for kLanes rows of each group from first_lane on.
template <class F, int kColumns, int kGroups>
MARU_NOINLINE void int8_tile(const Int8Call& call, const uint8_t* base, size_t first_lane,
                             const Ahead& asked, const Column* columns,
                             float (*out)[kGroups][kLanes]) {
  constexpr const PackedLayout& kLayout = F::kLayout;
  constexpr size_t kBlockRuns = kLayout.block / kRun;
  constexpr size_t kRunBytes = packed_unit(kLayout, kUnitRuns).n_bytes / kUnitRuns;
  const size_t lane = kLanes == kGroupRows ? 0 : first_lane;
  const ActivationBlock* x[kColumns];
  Floats sums[kColumns][kGroups];
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    x[c] = columns[c].blocks;
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) sums[c][g] = zero();
  }
  const size_t group_bytes = call.group.n_bytes;
  const uint8_t* unit = base;
  Asking<kGroups, kRunBytes> asking(asked, base, group_bytes);
  const uint8_t* low_plane = kFromPlanes<F> ? call.low_plane + 4 * lane : unit;
  const Ahead low_asked = first_lane == 0 ? call.low_asked : Ahead{};
  Asking<kGroups, kLowPlaneLines * kLineBytes> asking_low(low_asked, call.low_plane,
                                                          call.low_plane_bytes);
  size_t run = 0;
  for (size_t u = 0; u < call.group.n_units; ++u) {
    const PackedUnit& parts = call.group.unit(u);
    RunAt at{unit + 4 * lane,
             unit + parts.high + 4 * lane,
             unit + parts.scales + lane,
             unit + parts.deltas + lane * (F::is({tensor::DType::kMXFP4}) ? 1 : 2),
             0,
             group_bytes,
             low_plane,
             call.low_plane_bytes};
    const size_t n_runs = kBlockRuns == kUnitRuns ? kUnitRuns : parts.n_runs;
    for (size_t i = 0; i < n_runs; ++i, ++run) {
      asking.step(unit + i * kRunBytes);
      if constexpr (kFromPlanes<F>) {
        asking_low.step(at.low_plane);
      }
      add_run<F>(at, x, run, sums);
      at.low += kLayout.low_bits * kLineBytes;
      at.high += kLayout.high_bits * kLineBytes;
      if constexpr (kFromPlanes<F>) {
        at.low_plane += kLowPlaneLines * kLineBytes;
        low_plane = at.low_plane;
      }
      if constexpr (kBlockRuns == 1) {
        at.deltas += kLayout.deltas;
      } else {
        ++at.sub;
      }
    }
    unit += parts.n_bytes;
  }
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) store_floats(out[c][g], sums[c][g]);
  }
}

// Stores the n_rows sums of one group and column, or adds them to those of the plane before.
MARU_INLINE void write_rows(const float* sums, size_t n_rows, bool add, float* to) {
  for (size_t r = 0; r < n_rows; ++r) to[r] = add ? to[r] + sums[r] : sums[r];
}

template <class F, int kColumns, int kGroups>
void whole_tile(const Int8Call& call, const uint8_t* base, size_t first_row, const Ahead& asked,
                const Column* columns) {
  alignas(64) float out[kColumns][kGroups][kLanes];
  for (size_t lane = 0; lane < kGroupRows; lane += kLanes) {
    int8_tile<F, kColumns, kGroups>(call, base, lane, lane == 0 ? asked : Ahead{}, columns, out);
    for (int c = 0; c < kColumns; ++c) {
      for (int g = 0; g < kGroups; ++g) {
        const size_t row = first_row + static_cast<size_t>(g) * kGroupRows + lane;
        if (row >= call.n_rows) continue;
        float* to = columns[c].y + row;
        if (call.n_rows - row >= kLanes && !columns[c].add) {
          store_floats(to, load_floats(out[c][g]));
        } else {
          const size_t n = call.n_rows - row < kLanes ? call.n_rows - row : kLanes;
          write_rows(out[c][g], n, columns[c].add, to);
        }
      }
    }
  }
}

// Calls whole_tile for n columns, 1 to kColumns.
template <class F, int kColumns, int kGroups>
void any_tile(size_t n, const Int8Call& call, const uint8_t* base, size_t first_row,
              const Ahead& asked, const Column* columns) {
  if (n == kColumns) return whole_tile<F, kColumns, kGroups>(call, base, first_row, asked, columns);
  if constexpr (kColumns > 1) {
    any_tile<F, kColumns - 1, kGroups>(n, call, base, first_row, asked, columns);
  }
}

template <class F>
void int8_matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
                 size_t act_stride, size_t n_tokens, float* y, size_t y_stride) {
  constexpr int kMost = F::kHalves ? kHalvesTileColumns : kTileColumns;
  constexpr int kMostGroups = F::kHalves ? kHalvesTileGroups : kTileGroups;
  Int8Call call{.group = packed_group(F::kLayout, w.n_cols), .n_rows = w.n_rows};
  const size_t column_bytes = w.n_cols / kRun * sizeof(ActivationBlock);
  const size_t n_fit = kColumnBlockBytes / column_bytes / kMost * kMost;
  const size_t n_most = n_fit < kMost ? kMost : n_fit < kColumnBlockMax ? n_fit : kColumnBlockMax;
  ColumnWalk walk(acts, act_stride, n_tokens, w.n_cols, y, y_stride);
  Column columns[kColumnBlockMax];
  while (const size_t n = walk.next(columns, n_most)) {
    const size_t n_tiles = (n + kMost - 1) / kMost;
    for (size_t group = group_begin; group < group_end;) {
      const bool whole = n > 4 && group_end - group >= kMostGroups;
      const auto* base = reinterpret_cast<const uint8_t*>(w.data) + group * w.group_bytes;
      const size_t row = group * kGroupRows, n_groups = whole ? kMostGroups : 1;
      const size_t n_lines = n_groups * w.group_bytes / kLineBytes;
      for (size_t t = 0; t < n_tiles; ++t) {  // of nearly equal widths
        const size_t begin = n * t / n_tiles, n_columns = n * (t + 1) / n_tiles - begin;
        const Ahead asked =
            ahead_of(t, n_tiles, base, n_lines, w.n_cols / kRun, group == group_begin);
        if constexpr (kFromPlanes<F>) {
          call.low_plane = reinterpret_cast<const uint8_t*>(w.low) + group * w.low_group_bytes;
          call.low_plane_bytes = w.low_group_bytes;
          call.low_asked =
              ahead_of(t, n_tiles, call.low_plane, n_groups * w.low_group_bytes / kLineBytes,
                       w.n_cols / kRun, group == group_begin);
        }
        if (whole) {
          any_tile<F, kMost, kMostGroups>(n_columns, call, base, row, asked, columns + begin);
        } else {
          any_tile<F, kMost, 1>(n_columns, call, base, row, asked, columns + begin);
        }
      }
      group += n_groups;
    }
  }
}

#include "kernels/float_tiles.inl.h"

// Both halves of a pair by fma, with subnormals flushed as kernels/bf16.inl.h wants it.
constexpr int kPairTileGroups = kTileGroups;
constexpr int kPairTileColumns = kTileColumns;
MARU_INLINE Floats pair_dot(Floats sum, Bytes w, Bytes x) {
  return fma(bf16_even(w), bf16_even(x), fma(bf16_odd(w), bf16_odd(x), sum));
}
class PairMode {
 public:
  PairMode() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushSubnormals); }
  ~PairMode() { _mm_setcsr(saved_); }

 private:
  static constexpr unsigned kFlushSubnormals = 0x8040;  // results (FTZ) and operands (DAZ)
  unsigned saved_;
};
#include "kernels/bf16.inl.h"

void matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
            size_t act_stride, size_t n_tokens, float* y, size_t y_stride) {
  using T = tensor::DType;
  const auto run = [&](auto function) {
    function(w, group_begin, group_end, acts, act_stride, n_tokens, y, y_stride);
  };
  if (w.plane == Plane::kHigh) return run(int8_matmul<HighPlane>);
  if (w.plane == Plane::kBoth) return run(int8_matmul<BothPlanes>);
  switch (w.dtype) {
    case T::kF32:
      return run(float_matmul<T::kF32>);
    case T::kF16:
      return run(float_matmul<T::kF16>);
    case T::kBF16:
      return run(bf16_matmul);
    default:
      with_format(w.dtype, [&](auto format) { run(int8_matmul<decltype(format)>); });
  }
}
