// kernels/packed_layout.h - where everything lies in a packed group of 16 rows, for the packing and
// for every matmul_<isa>.cc. Nobody outside kernels/ looks inside a group.
//
// The unit of K is a run of 32 values, complete in itself. A line is 64 bytes: one dword for each
// of the 16 rows (row r at bytes 4 r to 4 r + 3). A code is a quant of the file as an unsigned
// number; code 4 l + i of a run is in byte i of its row's dword:
//
//   low 8 bits   8 lines; line l has codes 4 l + i
//   low 4 bits   4 lines; line l has codes 4 l + i in the low and 16 + 4 l + i in the high nibbles
//   low 2 bits   2 lines; line x has codes 4 (4 x + m) + i in bits 2 m and 2 m + 1
//   high 2 bits  2 lines, as low 2 bits
//   high 1 bit   1 line; bit l of byte i belongs to code 4 l + i
//
// K is cut into units of 256 columns, which are 8 runs; the last unit may have fewer. A unit is
// complete in itself, so that a product reads a group as one stream: its low bits and its high bits
// per run, then per block of the format
//
//   scales   sub-block scales as one byte each: one line of 16 bytes (one per row) per sub-block;
//            Q4_K and Q5_K: 8 lines of scales, then 8 of minimums
//   deltas   the block's float16 factors: a line of 16 factors, then a line of 16 minimums
//            (MXFP4: 16 E8M0 bytes)
//
// F32, F16 and BF16 have low bits only, in blocks of 4 (zeros follow the last column): F32 and F16
// one line of 16 values per column; BF16 per two columns one line of dwords, the even column in the
// lower half. Each part of a unit, and each group, starts at a multiple of 64 bytes.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace maru::kernels {

inline constexpr size_t kGroupRows = 16;
inline constexpr size_t kLineBytes = 64;

// How far ahead of its use a line of weights is asked for where a group is read once. Without it
// one core streams a matrix at 22 GB/s where it can read 41 (Zen 5; 2 KiB ahead: 32, 4 KiB: 36).
inline constexpr size_t kPrefetchBytes = 4096;

inline constexpr size_t kRun = 32;

struct PackedLayout {
  tensor::DType dtype;
  Activation activation;
  size_t block;      // values along K
  size_t low_bits;   // per value
  size_t high_bits;  // per value
  size_t scales;     // bytes per block and group
  size_t deltas;     // bytes per block and group
};

inline constexpr Activation kF32Rows = Activation::kF32;
inline constexpr Activation kInt8Rows = Activation::kInt8;
inline constexpr Activation kBf16Rows = Activation::kBf16;
// clang-format off
inline constexpr PackedLayout kPackedLayouts[] = {
    {tensor::DType::kF32,    kF32Rows,    4, 32, 0,   0,  0},
    {tensor::DType::kF16,    kF32Rows,    4, 16, 0,   0,  0},
    {tensor::DType::kBF16,   kBf16Rows,   4, 16, 0,   0,  0},
    {tensor::DType::kQ4_0,   kInt8Rows,  32,  4, 0,   0, 32},
    {tensor::DType::kQ4_1,   kInt8Rows,  32,  4, 0,   0, 64},
    {tensor::DType::kQ5_0,   kInt8Rows,  32,  4, 1,   0, 32},
    {tensor::DType::kQ5_1,   kInt8Rows,  32,  4, 1,   0, 64},
    {tensor::DType::kQ8_0,   kInt8Rows,  32,  8, 0,   0, 32},
    {tensor::DType::kQ2_K,   kInt8Rows, 256,  2, 0, 256, 64},
    {tensor::DType::kQ3_K,   kInt8Rows, 256,  2, 1, 256, 32},
    {tensor::DType::kQ4_K,   kInt8Rows, 256,  4, 0, 256, 64},
    {tensor::DType::kQ5_K,   kInt8Rows, 256,  4, 1, 256, 64},
    {tensor::DType::kQ6_K,   kInt8Rows, 256,  4, 2, 256, 32},
    {tensor::DType::kIQ4_NL, kInt8Rows,  32,  4, 0,   0, 32},
    {tensor::DType::kIQ4_XS, kInt8Rows, 256,  4, 0, 128, 32},
    {tensor::DType::kMXFP4,  kInt8Rows,  32,  4, 0,   0, 16},
};
// clang-format on

// The high plane of Q8_0 (kernels/planes.h): 5 lines for each run, and the factors.
inline constexpr PackedLayout kHighPlaneLayout = {tensor::DType::kQ8_0, kInt8Rows, 32, 5, 0, 0, 32};
// What the middle of the low bits is beyond the high ones.
inline constexpr float kHighPlaneMiddle = 3.5f;
inline constexpr size_t kLowPlaneLines = 3;  // of a run

// nullptr where the type has no kernel.
constexpr const PackedLayout* packed_layout(tensor::DType dtype) {
  for (const PackedLayout& layout : kPackedLayouts) {
    if (layout.dtype == dtype) return &layout;
  }
  return nullptr;
}

inline constexpr size_t kUnitRuns = 8;

constexpr size_t whole_lines(size_t n_bytes) {
  return (n_bytes + kLineBytes - 1) & ~(kLineBytes - 1);
}

// Offsets in a unit; the low bits begin at 0.
struct PackedUnit {
  size_t n_runs;
  size_t high;
  size_t scales;
  size_t deltas;
  size_t n_bytes;
};

constexpr PackedUnit packed_unit(const PackedLayout& layout, size_t n_runs) {
  const size_t n_values = n_runs * kRun, n_blocks = n_values / layout.block;
  PackedUnit at{};
  at.n_runs = n_runs;
  at.high = whole_lines(n_values * layout.low_bits * kGroupRows / 8);
  at.scales = at.high + whole_lines(n_values * layout.high_bits * kGroupRows / 8);
  at.deltas = at.scales + whole_lines(layout.scales * n_blocks);
  at.n_bytes = at.deltas + whole_lines(layout.deltas * n_blocks);
  return at;
}

// The units of a group of a quantized type: all are `whole` but the last.
struct PackedGroup {
  size_t n_units;
  PackedUnit whole;
  PackedUnit last;
  size_t n_bytes;

  constexpr const PackedUnit& unit(size_t i) const { return i + 1 < n_units ? whole : last; }
};

constexpr PackedGroup packed_group(const PackedLayout& layout, size_t n_cols) {
  const size_t n_runs = n_cols / kRun;
  PackedGroup at{};
  at.n_units = (n_runs + kUnitRuns - 1) / kUnitRuns;
  at.whole = packed_unit(layout, kUnitRuns);
  at.last = packed_unit(layout, n_runs - (at.n_units - 1) * kUnitRuns);
  at.n_bytes = (at.n_units - 1) * at.whole.n_bytes + at.last.n_bytes;
  return at;
}

// Where a block of a group lies.
struct PackedBlock {
  size_t low;
  size_t high;
  size_t scales;
  size_t deltas;
};

constexpr PackedBlock packed_block(const PackedLayout& layout, const PackedGroup& at, size_t b) {
  const size_t run = b * layout.block / kRun, unit = run / kUnitRuns, first = run % kUnitRuns;
  const size_t base = unit * at.whole.n_bytes, in_unit = first * kRun / layout.block;
  const PackedUnit& parts = at.unit(unit);
  return {base + first * layout.low_bits * kLineBytes,
          base + parts.high + first * layout.high_bits * kLineBytes,
          base + parts.scales + in_unit * layout.scales,
          base + parts.deltas + in_unit * layout.deltas};
}

// Blocks of 4 columns of a group of floats.
constexpr size_t float_blocks(size_t n_cols) { return (n_cols + 3) / 4; }

constexpr size_t packed_group_bytes(const PackedLayout& layout, size_t n_cols) {
  if (layout.activation == Activation::kInt8) return packed_group(layout, n_cols).n_bytes;
  return whole_lines(float_blocks(n_cols) * layout.block * layout.low_bits * kGroupRows / 8);
}

}  // namespace maru::kernels
