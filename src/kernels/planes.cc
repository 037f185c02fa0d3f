// kernels/planes.cc - the reference of PlaneTable: one code at a time.
#include "kernels/planes.h"

#include <cstring>

#include "kernels/activation.h"
#include "kernels/tables.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

namespace maru::kernels {
namespace {

constexpr const PackedLayout& kWholeLayout = *packed_layout(tensor::DType::kQ8_0);

void split(size_t n_cols, const std::byte* group, std::byte* high, std::byte* low) {
  const PackedGroup whole_at = packed_group(kWholeLayout, n_cols);
  const PackedGroup high_at = packed_group(kHighPlaneLayout, n_cols);
  std::memset(high, 0, high_at.n_bytes);
  std::memset(low, 0, low_plane_bytes(n_cols));
  const auto* from = reinterpret_cast<const uint8_t*>(group);
  auto* high_to = reinterpret_cast<uint8_t*>(high);
  auto* low_to = reinterpret_cast<uint8_t*>(low);
  for (size_t run = 0; run < n_cols / kRun; ++run) {
    const PackedBlock whole = packed_block(kWholeLayout, whole_at, run);
    const PackedBlock upper = packed_block(kHighPlaneLayout, high_at, run);
    std::memcpy(high_to + upper.deltas, from + whole.deltas, 2 * kGroupRows);
    for (size_t k = 0; k < 8; ++k) {
      for (size_t byte = 0; byte < kLineBytes; ++byte) {
        const unsigned code = from[whole.low + k * kLineBytes + byte];
        for (size_t bit = 0; bit < 8; ++bit) {
          const PlaneBit at = plane_bit(k, bit);
          uint8_t* lines = bit < 3 ? low_to : high_to + upper.low;
          lines[at.line * kLineBytes + byte] |= static_cast<uint8_t>((code >> bit & 1) << at.bit);
        }
      }
    }
    low_to += kLowPlaneLines * kLineBytes;
  }
}

unsigned low_code(const uint8_t* lines, size_t k, size_t byte) {
  unsigned code = 0;
  for (size_t bit = 0; bit < 3; ++bit) {
    const PlaneBit at = plane_bit(k, bit);
    code |= (lines[at.line * kLineBytes + byte] >> at.bit & 1u) << bit;
  }
  return code;
}

void rests(size_t n_cols, const std::byte* high, const std::byte* low, const uint8_t* weights,
           float* rests) {
  const PackedGroup high_at = packed_group(kHighPlaneLayout, n_cols);
  const auto* lines = reinterpret_cast<const uint8_t*>(low);
  for (size_t r = 0; r < kGroupRows; ++r) {
    float energy = 0, squares = 0;
    for (size_t run = 0; run < n_cols / kRun; ++run) {
      uint32_t sum = 0;
      for (size_t i = 0; i < kRun; ++i) {
        const int l = static_cast<int>(
            low_code(lines + run * kLowPlaneLines * kLineBytes, i / 4, 4 * r + i % 4));
        sum += static_cast<uint32_t>((2 * l - 7) * (2 * l - 7)) * weights[kRun * run + i];
      }
      const size_t at = packed_block(kHighPlaneLayout, high_at, run).deltas + 2 * r;
      const float d =
          tensor::f16_to_f32(tensor::load<uint16_t>(reinterpret_cast<const uint8_t*>(high) + at));
      energy += d * d * static_cast<float>(sum);
      squares += d * d;
    }
    rests[r] = rest_of_row(energy, squares, n_cols / kRun);
  }
}

}  // namespace

std::vector<float> inverse_weights(std::span<const uint8_t> weights) {
  std::vector<float> inverse;
  for (const uint8_t w : weights)
    inverse.push_back(float{kColumnWeightMax} / static_cast<float>(w));
  return inverse;
}

float activation_reach(const std::byte* row, size_t n_cols, const float* inverse) {
  constexpr size_t kSums = 8;  // side by side, so that they become vectors
  float sums[kSums] = {};
  const size_t n_planes = activation_header(row).n_planes;
  for (size_t b = 0; b < n_cols / kActivationBlock; ++b) {
    float x[kActivationBlock] = {};
    for (size_t plane = 0; plane < n_planes; ++plane) {
      const ActivationBlock& block = activation_plane(row, n_cols, plane)[b];
      for (size_t i = 0; i < kActivationBlock; ++i) {
        x[i] += static_cast<float>(block.q[i]) * block.scale;
      }
    }
    for (size_t i = 0; i < kActivationBlock; ++i) {
      sums[i % kSums] += x[i] * x[i] * inverse[b * kActivationBlock + i];
    }
  }
  float sum = 0;
  for (const float part : sums) sum += part;
  return std::sqrt(sum) * 1.001f;
}

const PlaneTable kPlanesScalar = {split, rests};

}  // namespace maru::kernels
