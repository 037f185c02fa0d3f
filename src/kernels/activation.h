// kernels/activation.h - a quantized activation row, written by quantize_row and read by matmul of
// each instruction set. Nobody outside kernels/ looks inside. The arithmetic:
// docs/formats/numerics.md.
//
//   ActivationHeader | plane 0: n / 32 ActivationBlocks | plane 1: the same, only if n_planes == 2
//
// Space for both planes is always there, so that rows have one stride.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace maru::kernels {

inline constexpr size_t kActivationBlock = 32;

// Activations of the columns that share a pass over the weights: a part of the L2 cache.
inline constexpr size_t kColumnBlockBytes = 384 << 10;

// A block below this magnitude counts as zeros.
inline constexpr float kActivationTiny = 0x1p-100f;
// A second plane is added when the energy of what the first plane misses is above this part of the
// energy of the row without its outliers: n * m^2, where m is the mean of |x| with every |x| cut to
// kOutlier times the plain mean. Rows of normal numbers have 5e-5.
inline constexpr float kResidualThreshold = 1e-3f;
inline constexpr float kOutlier = 4.0f;

// One cache line: 32 values and what a kernel needs to know of them. The value i is q[i] * scale.
struct alignas(64) ActivationBlock {
  int8_t q[kActivationBlock];  // -127 to 127
  float scale;
  float sum;  // of q
  // Where a kernel reads weight w as the unsigned w + c, its integer sums begin at -c * sum(q).
  int32_t minus_8_sum;
  int32_t minus_16_sum;
  int32_t minus_128_sum;
  int32_t minus_32_half_sums[2];  // of the first and the last 16 values
  int32_t unused;
};
static_assert(sizeof(ActivationBlock) == 64);

struct alignas(64) ActivationHeader {
  uint32_t n_planes;  // 1 or 2
  uint32_t unused[15];
};
static_assert(sizeof(ActivationHeader) == 64);

inline const ActivationHeader& activation_header(const std::byte* row) {
  return *reinterpret_cast<const ActivationHeader*>(row);
}

inline const ActivationBlock* activation_plane(const std::byte* row, size_t n_cols, size_t plane) {
  return reinterpret_cast<const ActivationBlock*>(row + sizeof(ActivationHeader)) +
         plane * (n_cols / kActivationBlock);
}

// The next columns of a product: each token has one, or two where its row has two planes; the
// second plane's result is added to the first's. Every matmul walks its columns with this.
struct Column {
  const ActivationBlock* blocks;
  float* y;  // of row 0
  bool add;  // to y, instead of storing
};

class ColumnWalk {
 public:
  ColumnWalk(const std::byte* acts, size_t act_stride, size_t n_tokens, size_t n_cols, float* y,
             size_t y_stride)
      : row_(acts),
        act_stride_(act_stride),
        n_left_(n_tokens),
        n_cols_(n_cols),
        y_(y),
        y_stride_(y_stride) {}

  // Fills up to n_max columns, returns how many; 0 at the end.
  size_t next(Column* columns, size_t n_max) {
    size_t n = 0;
    for (; n < n_max && n_left_ > 0; ++n) {
      columns[n] = {activation_plane(row_, n_cols_, plane_), y_, plane_ > 0};
      if (++plane_ < activation_header(row_).n_planes) continue;
      plane_ = 0;
      row_ += act_stride_;
      y_ += y_stride_;
      --n_left_;
    }
    return n;
  }

 private:
  const std::byte* row_;
  size_t act_stride_, n_left_, n_cols_;
  float* y_;
  size_t y_stride_;
  size_t plane_ = 0;
};

}  // namespace maru::kernels
