// kernels/matmul_scalar.cc - the reference of quantize_row and matmul: the plain reading of
// docs/formats/numerics.md, for any machine. It is never optimised; the other tables must give the
// same bits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/activation.h"
#include "kernels/packed_layout.h"
#include "kernels/planes.h"
#include "kernels/tables.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

namespace maru::kernels {
namespace {

using tensor::DType;
using tensor::f16_to_f32;

constexpr size_t kLanes = 16;

// Sum of 16 lanes: the upper half is added to the lower half, four times.
float sum_of_lanes(float* lanes) {
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

void quantize_block(const float* x, ActivationBlock& block) {
  uint32_t max_bits = 0;  // ordered like the magnitudes, infinity and NaN above all
  for (size_t i = 0; i < kActivationBlock; ++i) {
    max_bits = std::max(max_bits, std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFu);
  }
  const auto max = std::bit_cast<float>(max_bits);
  block = {};
  if (max_bits >= 0x7F800000u) {
    block.scale = std::bit_cast<float>(0x7FC00000u);  // what is not finite makes the result NaN
    return;
  }
  if (max < kActivationTiny) return;
  block.scale = max / 127.0f;
  const float inverse = 127.0f / max;
  int32_t half_sums[2] = {0, 0};
  for (size_t i = 0; i < kActivationBlock; ++i) {
    block.q[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
    half_sums[i / 16] += block.q[i];
  }
  const int32_t sum = half_sums[0] + half_sums[1];
  block.sum = static_cast<float>(sum);
  block.minus_8_sum = -8 * sum;
  block.minus_16_sum = -16 * sum;
  block.minus_128_sum = -128 * sum;
  block.minus_32_half_sums[0] = -32 * half_sums[0];
  block.minus_32_half_sums[1] = -32 * half_sums[1];
}

void quantize_int8(const float* x, size_t n, std::byte* out) {
  const size_t n_blocks = n / kActivationBlock;
  auto* header = reinterpret_cast<ActivationHeader*>(out);
  auto* first = reinterpret_cast<ActivationBlock*>(out + sizeof(ActivationHeader));
  *header = {.n_planes = 1, .unused = {}};
  float magnitudes[kLanes] = {}, missed[kLanes] = {};  // value i belongs to lane i mod 16
  for (size_t i = 0; i < n; ++i) {
    ActivationBlock& block = first[i / kActivationBlock];
    if (i % kActivationBlock == 0) quantize_block(x + i, block);
    const float rest =
        std::fma(-static_cast<float>(block.q[i % kActivationBlock]), block.scale, x[i]);
    magnitudes[i % kLanes] += std::fabs(x[i]);
    missed[i % kLanes] = std::fma(rest, rest, missed[i % kLanes]);
  }
  const auto count = static_cast<float>(n);
  const float cut = kOutlier * (sum_of_lanes(magnitudes) / count);
  float ordinary[kLanes] = {};
  for (size_t i = 0; i < n; ++i) ordinary[i % kLanes] += std::min(std::fabs(x[i]), cut);
  const float mean = sum_of_lanes(ordinary) / count;
  if (!(sum_of_lanes(missed) > kResidualThreshold * count * (mean * mean))) return;
  header->n_planes = 2;
  for (size_t b = 0; b < n_blocks; ++b) {
    float rest[kActivationBlock];
    for (size_t i = 0; i < kActivationBlock; ++i) {
      rest[i] =
          std::fma(-static_cast<float>(first[b].q[i]), first[b].scale, x[b * kActivationBlock + i]);
    }
    quantize_block(rest, first[n_blocks + b]);
  }
}

void quantize_row(Activation activation, const float* x, size_t n, std::byte* out) {
  if (activation == Activation::kInt8) return quantize_int8(x, n, out);
  std::memset(out, 0, activation_row_bytes(activation, n));
  if (activation == Activation::kF32) {
    std::memcpy(out, x, n * sizeof(float));
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    const uint16_t half = tensor::f32_to_bf16(x[i]);
    std::memcpy(out + i * sizeof half, &half, sizeof half);
  }
}

// 32 weights of one row: value i is w[i] * scale[i / 16] + min[i / 16].
struct Weights {
  int32_t w[32];
  float scale[2];
  float min[2];
};

// One row of a packed group, read block by block.
class PackedRow {
 public:
  PackedRow(const PackedMatrix& matrix, size_t row)
      : is_high_plane_(matrix.plane == Plane::kHigh),
        is_plane_(matrix.plane != Plane::kWhole),
        layout_(!is_plane_ ? *packed_layout(matrix.dtype) : kHighPlaneLayout),
        at_(packed_group(layout_, matrix.n_cols)),
        base_(reinterpret_cast<const uint8_t*>(matrix.data) + row / kGroupRows * at_.n_bytes),
        low_plane_(matrix.plane == Plane::kBoth ? reinterpret_cast<const uint8_t*>(matrix.low) +
                                                      row / kGroupRows * matrix.low_group_bytes
                                                : nullptr),
        r_(row % kGroupRows) {}

  // The k-th run of 32 values.
  Weights weights(size_t k) const {
    Weights out;
    for (size_t i = 0; i < kRun; ++i) out.w[i] = weight(code(k, i));
    out.scale[0] = out.scale[1] = out.min[0] = out.min[1] = 0;
    set_scales(k * kRun / layout_.block, k * kRun % layout_.block / kRun, out);
    return out;
  }

 private:
  // Byte i % 4 of this row's dword in a line.
  uint8_t byte(const uint8_t* lines, size_t line, size_t i) const {
    return lines[line * kLineBytes + 4 * r_ + i % 4];
  }
  // Field i of a run whose lines hold n_bits of each code.
  uint8_t field(const uint8_t* lines, size_t n_bits, size_t i) const {
    const size_t per_line = 8 / n_bits, l = i / 4;
    const size_t line = n_bits == 4 ? l % 4 : l / per_line;
    const size_t place = n_bits == 4 ? l / 4 : l % per_line;
    return static_cast<uint8_t>(byte(lines, line, i) >> (n_bits * place) & ((1u << n_bits) - 1));
  }
  int32_t code(size_t run, size_t i) const {
    if (is_plane_) return plane_code(run, i);
    const size_t b = run * kRun / layout_.block, in_block = run * kRun % layout_.block / kRun;
    const PackedBlock block = packed_block(layout_, at_, b);
    const uint8_t* lines = base_ + block.low + in_block * layout_.low_bits * kLineBytes;
    const int32_t low = field(lines, layout_.low_bits, i);
    if (layout_.high_bits == 0) return low;
    const uint8_t* high = base_ + block.high + in_block * layout_.high_bits * kLineBytes;
    return low | field(high, layout_.high_bits, i) << layout_.low_bits;
  }
  // Of a plane: the code, or the upper bits of it.
  int32_t plane_code(size_t run, size_t i) const {
    const size_t k = i / 4;
    int32_t code = 0;
    const uint8_t* upper = base_ + packed_block(layout_, at_, run).low;
    for (size_t bit = 3; bit < 8; ++bit) {
      const PlaneBit at = plane_bit(k, bit);
      code |= (byte(upper, at.line, i) >> at.bit & 1) << bit;
    }
    if (low_plane_ == nullptr) return code;
    for (size_t bit = 0; bit < 3; ++bit) {
      const PlaneBit at = plane_bit(k, bit);
      code |= (byte(low_plane_ + run * kLowPlaneLines * kLineBytes, at.line, i) >> at.bit & 1)
              << bit;
    }
    return code;
  }
  int32_t weight(int32_t code) const {
    switch (layout_.dtype) {
      case DType::kQ4_0:
        return code - 8;
      case DType::kQ5_0:
        return code - 16;
      case DType::kQ8_0:
        return code - 128;
      case DType::kQ3_K:
        return code - 4;
      case DType::kQ6_K:
        return code - 32;
      case DType::kIQ4_NL:
      case DType::kIQ4_XS:
        return tensor::kIq4Values[static_cast<size_t>(code)];
      case DType::kMXFP4:
        return tensor::kE2m1Doubled[static_cast<size_t>(code)];
      default:
        return code;
    }
  }

  uint8_t scale(size_t b, size_t j) const {
    return base_[packed_block(layout_, at_, b).scales + kGroupRows * j + r_];
  }
  float delta(size_t b, size_t j) const {
    const uint8_t* deltas = base_ + packed_block(layout_, at_, b).deltas;
    return f16_to_f32(tensor::load<uint16_t>(deltas + 32 * j + 2 * r_));
  }

  void set_scales(size_t b, size_t sub, Weights& out) const {
    for (size_t h = 0; h < 2; ++h) {
      if (is_high_plane_) {
        out.scale[h] = delta(b, 0);
        out.min[h] = delta(b, 0) * kHighPlaneMiddle;
        continue;
      }
      const size_t sixteenth = 2 * sub + h;
      switch (layout_.dtype) {
        case DType::kQ4_1:
        case DType::kQ5_1:
          out.scale[h] = delta(b, 0);
          out.min[h] = delta(b, 1);
          break;
        case DType::kQ4_K:
        case DType::kQ5_K:
          out.scale[h] = delta(b, 0) * static_cast<float>(scale(b, sub));
          out.min[h] = -delta(b, 1) * static_cast<float>(scale(b, 8 + sub));
          break;
        case DType::kQ2_K:
          out.scale[h] = delta(b, 0) * static_cast<float>(scale(b, sixteenth) & 15);
          out.min[h] = -delta(b, 1) * static_cast<float>(scale(b, sixteenth) >> 4);
          break;
        case DType::kQ3_K:
        case DType::kQ6_K:
          out.scale[h] = delta(b, 0) * static_cast<float>(int8_t(scale(b, sixteenth)));
          break;
        case DType::kIQ4_XS:
          out.scale[h] = delta(b, 0) * static_cast<float>(int8_t(scale(b, sub)));
          break;
        case DType::kMXFP4:
          out.scale[h] =
              0.5f * tensor::e8m0_to_f32(base_[packed_block(layout_, at_, b).deltas + r_]);
          break;
        default:
          out.scale[h] = delta(b, 0);
      }
    }
  }

  const bool is_high_plane_;
  const bool is_plane_;
  const PackedLayout& layout_;
  const PackedGroup at_;
  const uint8_t* base_;
  const uint8_t* low_plane_;
  const size_t r_;
};

// How the 32 products of a block become one float: docs/formats/numerics.md, "One block".
enum class BlockSum { kOneScale, kScaleAndMin, kTwoScales, kTwoScalesAndMins };

BlockSum block_sum(const PackedMatrix& w) {
  if (w.plane == Plane::kHigh) return BlockSum::kScaleAndMin;
  switch (w.dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return BlockSum::kScaleAndMin;
    case DType::kQ3_K:
    case DType::kQ6_K:
      return BlockSum::kTwoScales;
    case DType::kQ2_K:
      return BlockSum::kTwoScalesAndMins;
    default:
      return BlockSum::kOneScale;
  }
}

float product(BlockSum kind, const Weights& w, const ActivationBlock& x) {
  int32_t dots[2] = {0, 0}, sums[2] = {0, 0};
  for (size_t i = 0; i < 32; ++i) {
    dots[i / 16] += w.w[i] * x.q[i];
    sums[i / 16] += x.q[i];
  }
  if (kind == BlockSum::kOneScale) return static_cast<float>(dots[0] + dots[1]) * w.scale[0];
  if (kind == BlockSum::kScaleAndMin) {
    const float scaled = static_cast<float>(dots[0] + dots[1]) * w.scale[0];
    return std::fma(static_cast<float>(sums[0] + sums[1]), w.min[0], scaled);
  }
  float u = static_cast<float>(dots[0]) * w.scale[0];
  u = std::fma(static_cast<float>(dots[1]), w.scale[1], u);
  if (kind == BlockSum::kTwoScales) return u;
  u = std::fma(static_cast<float>(sums[0]), w.min[0], u);
  return std::fma(static_cast<float>(sums[1]), w.min[1], u);
}

void int8_row(const PackedMatrix& w, size_t row, const std::byte* acts, size_t act_stride,
              size_t n_tokens, float* y, size_t y_stride) {
  constexpr size_t kColumns = 64;
  const PackedRow packed(w, row);
  const BlockSum kind = block_sum(w);
  ColumnWalk walk(acts, act_stride, n_tokens, w.n_cols, y + row, y_stride);
  Column columns[kColumns];
  while (const size_t n = walk.next(columns, kColumns)) {
    float sums[kColumns] = {};
    for (size_t k = 0; k < w.n_cols / 32; ++k) {
      const Weights weights = packed.weights(k);
      for (size_t c = 0; c < n; ++c) {
        const ActivationBlock& x = columns[c].blocks[k];
        sums[c] = std::fma(product(kind, weights, x), x.scale, sums[c]);
      }
    }
    for (size_t c = 0; c < n; ++c) {
      *columns[c].y = columns[c].add ? *columns[c].y + sums[c] : sums[c];
    }
  }
}

float float_weight(const PackedMatrix& w, size_t row, size_t k) {
  const std::byte* group = w.data + row / kGroupRows * w.group_bytes;
  const size_t r = row % kGroupRows;
  if (w.dtype == DType::kF32) return tensor::load<float>(group + 64 * k + 4 * r);
  return f16_to_f32(tensor::load<uint16_t>(group + 32 * k + 2 * r));
}

void float_row(const PackedMatrix& w, size_t row, const std::byte* acts, size_t act_stride,
               size_t n_tokens, float* y, size_t y_stride) {
  for (size_t t = 0; t < n_tokens; ++t) {
    const auto* x = reinterpret_cast<const float*>(acts + t * act_stride);
    float sums[4] = {};
    for (size_t k = 0; k < w.n_cols; ++k) {
      sums[k % 4] = std::fma(float_weight(w, row, k), x[k], sums[k % 4]);
    }
    y[t * y_stride + row] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
}

float flushed(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

void bf16_row(const PackedMatrix& w, size_t row, const std::byte* acts, size_t act_stride,
              size_t n_tokens, float* y, size_t y_stride) {
  const std::byte* group = w.data + row / kGroupRows * w.group_bytes + 4 * (row % kGroupRows);
  for (size_t t = 0; t < n_tokens; ++t) {
    const std::byte* x = acts + t * act_stride;
    float sum = 0.0f;
    for (size_t pair = 0; pair < (w.n_cols + 1) / 2; ++pair) {
      for (const size_t half : {1u, 0u}) {
        const auto of = [&](const std::byte* pairs) {
          return flushed(tensor::bf16_to_f32(tensor::load<uint16_t>(pairs + 2 * half)));
        };
        sum = flushed(std::fma(of(group + 64 * pair), of(x + 4 * pair), sum));
      }
    }
    y[t * y_stride + row] = sum;
  }
}

void matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
            size_t act_stride, size_t n_tokens, float* y, size_t y_stride) {
  const Activation kind = packed_layout(w.dtype)->activation;
  const auto multiply_row = kind == Activation::kInt8   ? int8_row
                            : kind == Activation::kBf16 ? bf16_row
                                                        : float_row;
  const size_t row_end = std::min(group_end * kGroupRows, w.n_rows);
  for (size_t row = group_begin * kGroupRows; row < row_end; ++row) {
    multiply_row(w, row, acts, act_stride, n_tokens, y, y_stride);
  }
}

}  // namespace

const MatmulTable kMatmulScalar = {quantize_row, matmul};

}  // namespace maru::kernels
