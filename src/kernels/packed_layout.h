// kernels/packed_layout.h - where everything lies in a packed group of 16 rows, for the packing and
// for every matmul_<isa>.cc. Nobody outside kernels/ looks inside a group.
//
// A group is up to four regions, each an array with one entry per block along K:
//
//   quants   the block's quant bytes as in the file, dword by dword: one 64-byte line holds dword i
//            of all 16 rows (row r at bytes 4r to 4r + 3)
//   high     the same for the bytes with the upper bits of 3-, 5- and 6-bit types; Q5_0 and Q5_1
//            have one dword per block, in which bit l of byte i belongs to value 4 l + i
//   scales   sub-block scales as one byte each: one line of 16 bytes (one per row) per sub-block;
//            Q4_K and Q5_K: 8 lines of scales, then 8 of minimums
//   deltas   the block's float16 factors: a line of 16 factors, then a line of 16 minimums
//            (MXFP4: 16 E8M0 bytes)
//
// Q8_0 quants are stored plus 128, so that all quants are unsigned. F32, F16 and BF16 have quants
// only, in blocks of 4 (zeros follow the last column): F32 and F16 one line of 16 values per
// column; BF16 per two columns one line of dwords, the even column in the lower half.
// Every region starts at a multiple of 64 bytes.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace maru::kernels {

inline constexpr size_t kGroupRows = 16;
inline constexpr size_t kLineBytes = 64;

// Bytes per block and group of 16 rows.
struct PackedLayout {
  tensor::DType dtype;
  Activation activation;
  size_t block;  // values along K
  size_t quants;
  size_t high;
  size_t scales;
  size_t deltas;
};

inline constexpr Activation kF32Rows = Activation::kF32;
inline constexpr Activation kInt8Rows = Activation::kInt8;
// clang-format off
inline constexpr PackedLayout kPackedLayouts[] = {
    {tensor::DType::kF32,    kF32Rows,    4,  256,    0,   0,  0},
    {tensor::DType::kF16,    kF32Rows,    4,  128,    0,   0,  0},
    {tensor::DType::kBF16,   kF32Rows,    4,  128,    0,   0,  0},
    {tensor::DType::kQ4_0,   kInt8Rows,  32,  256,    0,   0, 32},
    {tensor::DType::kQ4_1,   kInt8Rows,  32,  256,    0,   0, 64},
    {tensor::DType::kQ5_0,   kInt8Rows,  32,  256,   64,   0, 32},
    {tensor::DType::kQ5_1,   kInt8Rows,  32,  256,   64,   0, 64},
    {tensor::DType::kQ8_0,   kInt8Rows,  32,  512,    0,   0, 32},
    {tensor::DType::kQ2_K,   kInt8Rows, 256, 1024,    0, 256, 64},
    {tensor::DType::kQ3_K,   kInt8Rows, 256, 1024,  512, 256, 32},
    {tensor::DType::kQ4_K,   kInt8Rows, 256, 2048,    0, 256, 64},
    {tensor::DType::kQ5_K,   kInt8Rows, 256, 2048,  512, 256, 64},
    {tensor::DType::kQ6_K,   kInt8Rows, 256, 2048, 1024, 256, 32},
    {tensor::DType::kIQ4_NL, kInt8Rows,  32,  256,    0,   0, 32},
    {tensor::DType::kIQ4_XS, kInt8Rows, 256, 2048,    0, 128, 32},
    {tensor::DType::kMXFP4,  kInt8Rows,  32,  256,    0,   0, 16},
};
// clang-format on

// nullptr where the type has no kernel.
constexpr const PackedLayout* packed_layout(tensor::DType dtype) {
  for (const PackedLayout& layout : kPackedLayouts) {
    if (layout.dtype == dtype) return &layout;
  }
  return nullptr;
}

// Offsets of the regions of one group.
struct PackedRegions {
  size_t n_blocks;
  size_t high;  // quants begin at 0
  size_t scales;
  size_t deltas;
  size_t n_bytes;
};

constexpr PackedRegions packed_regions(const PackedLayout& layout, size_t n_cols) {
  const auto lines = [](size_t n_bytes) { return (n_bytes + kLineBytes - 1) & ~(kLineBytes - 1); };
  PackedRegions at{};
  at.n_blocks = (n_cols + layout.block - 1) / layout.block;
  at.high = lines(layout.quants * at.n_blocks);
  at.scales = at.high + lines(layout.high * at.n_blocks);
  at.deltas = at.scales + lines(layout.scales * at.n_blocks);
  at.n_bytes = at.deltas + lines(layout.deltas * at.n_blocks);
  return at;
}

}  // namespace maru::kernels
