// Two planes of a Q8_0 matrix: every table splits and measures alike, both give what the matrix
// gives, and the high plane's products are within their bound.
#include "kernels/planes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "kernels/activation.h"
#include "kernels/kernel_table.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

namespace maru::kernels {
namespace {

using tensor::DType;

// 64-byte aligned, and dirty, so that a byte that is not written shows.
class Buffer {
 public:
  explicit Buffer(size_t n) : bytes_(n + 64, std::byte{0xAB}), n_(n) {}
  std::byte* data() {
    void* p = bytes_.data();
    size_t space = bytes_.size();
    return static_cast<std::byte*>(std::align(64, n_, p, space));
  }
  std::vector<std::byte> copy() { return {data(), data() + n_}; }

 private:
  std::vector<std::byte> bytes_;
  size_t n_;
};

// A packed Q8_0 matrix of random codes and factors, and its planes by one table.
struct Planes {
  Planes(const PlaneTable& table, size_t n_rows, size_t n_cols, uint64_t seed, bool damaged = false)
      : n_cols(n_cols),
        n_groups((n_rows + kGroupRows - 1) / kGroupRows),
        whole_bytes(packed_shape(DType::kQ8_0, n_cols).group_bytes),
        whole(n_groups * whole_bytes),
        high(n_groups * high_plane_bytes(n_cols)),
        low(n_groups * low_plane_bytes(n_cols)),
        rests(n_groups * kGroupRows),
        weights(n_cols) {
    Rng rng(seed);
    std::vector<std::byte> rows(n_rows * n_cols / 32 * 34);
    for (std::byte& byte : rows) byte = static_cast<std::byte>(rng.next());
    for (size_t at = 0; at < rows.size(); at += 34) {
      const auto d = static_cast<uint16_t>(0x1800 + rng.below(0x1000) + 0x8000 * rng.below(2));
      std::memcpy(rows.data() + at, &d, sizeof d);
    }
    if (damaged) rows[1] = std::byte{0x7C};  // the first block's factor: infinity or NaN
    for (uint8_t& w : weights) w = static_cast<uint8_t>(1 + rng.below(kColumnWeightMax));
    matrix = {.dtype = DType::kQ8_0,
              .n_rows = n_rows,
              .n_cols = n_cols,
              .group_bytes = whole_bytes,
              .data = whole.data()};
    pack_groups(matrix, rows.data(), 0, n_groups, whole.data());
    for (size_t g = 0; g < n_groups; ++g) {
      std::byte* high_at = high.data() + g * high_plane_bytes(n_cols);
      std::byte* low_at = low.data() + g * low_plane_bytes(n_cols);
      table.split(n_cols, whole.data() + g * whole_bytes, high_at, low_at);
      table.rests(n_cols, high_at, low_at, weights.data(), rests.data() + g * kGroupRows);
    }
    upper = matrix;
    upper.group_bytes = high_plane_bytes(n_cols);
    upper.data = high.data();
    upper.plane = Plane::kHigh;
    both = upper;
    both.plane = Plane::kBoth;
    both.low = low.data();
    both.low_group_bytes = low_plane_bytes(n_cols);
  }

  size_t n_cols, n_groups, whole_bytes;
  Buffer whole, high, low;
  std::vector<float> rests;
  std::vector<uint8_t> weights;
  PackedMatrix matrix, upper, both;
};

constexpr size_t kColumns[] = {32, 64, 96, 256, 288, 640, 896};

TEST(Planes, AllTablesGiveTheSameBytes) {
  const PlaneTable& scalar = available_kernels().front()->planes;
  for (const size_t n_cols : kColumns) {
    Planes want(scalar, 33, n_cols, 1);
    for (const KernelTable* table : available_kernels()) {
      Planes got(table->planes, 33, n_cols, 1);
      EXPECT_EQ(got.high.copy(), want.high.copy()) << table->isa << " " << n_cols;
      EXPECT_EQ(got.low.copy(), want.low.copy()) << table->isa << " " << n_cols;
      EXPECT_EQ(got.rests, want.rests) << table->isa << " " << n_cols;
    }
  }
}

TEST(Planes, AreNotLargerThanTheMatrix) {
  for (const size_t n_cols : kColumns) {
    EXPECT_EQ(high_plane_bytes(n_cols) + low_plane_bytes(n_cols),
              packed_shape(DType::kQ8_0, n_cols).group_bytes);
  }
}

float normal(Rng& rng) {
  const uint64_t bits = rng.next();
  int64_t sum = -2 * 65536;
  for (int i = 0; i < 4; ++i) sum += static_cast<int64_t>(bits >> (16 * i) & 0xFFFF);
  return static_cast<float>(static_cast<double>(sum) / 65536 * std::sqrt(3.0));
}

// Rows of activations: ordinary ones, some with a value that wants a second plane, and those that
// make the bound as large as it gets: in the direction of what the low bits hold.
std::vector<float> activations(size_t t, const Planes& planes, Rng& rng) {
  std::vector<float> x(planes.n_cols);
  for (float& value : x) value = normal(rng);
  if (t % 3 == 1) x[rng.below(x.size())] = 9000.0f;
  if (t % 3 == 2) {
    const PackedGroup at = packed_group(*packed_layout(DType::kQ8_0), planes.n_cols);
    const auto* group = reinterpret_cast<const uint8_t*>(planes.matrix.data);
    for (size_t i = 0; i < x.size(); ++i) {  // of row 0
      const PackedBlock block = packed_block(*packed_layout(DType::kQ8_0), at, i / kRun);
      const unsigned code = group[block.low + i % kRun / 4 * kLineBytes + i % 4];
      const float d = tensor::f16_to_f32(tensor::load<uint16_t>(group + block.deltas));
      x[i] = (static_cast<float>(code & 7) - 3.5f) * planes.weights[i] * d;
    }
  }
  return x;
}

// Rows of activation_row_bytes() each.
Buffer quantized_activations(size_t n_tokens, const Planes& planes, Rng& rng) {
  const size_t stride = activation_row_bytes(Activation::kInt8, planes.n_cols);
  const MatmulTable& scalar = available_kernels().front()->matmul;
  Buffer acts(n_tokens * stride);
  for (size_t t = 0; t < n_tokens; ++t) {
    const std::vector<float> x = activations(t, planes, rng);
    scalar.quantize_row(Activation::kInt8, x.data(), planes.n_cols, acts.data() + t * stride);
  }
  return acts;
}

TEST(Planes, BothGiveTheBitsOfTheMatrix) {
  Rng rng(8);
  for (const size_t n_cols : kColumns) {
    const Planes planes(available_kernels().front()->planes, 75, n_cols, 9);
    const size_t stride = activation_row_bytes(Activation::kInt8, n_cols);
    constexpr size_t kTokens = 21, kRows = 75;
    const MatmulTable& scalar = available_kernels().front()->matmul;
    Buffer acts = quantized_activations(kTokens, planes, rng);
    std::vector<float> want(kTokens * kRows), got(want);
    scalar.matmul(planes.matrix, 0, planes.n_groups, acts.data(), stride, kTokens, want.data(),
                  kRows);
    for (const KernelTable* table : available_kernels()) {
      for (const size_t n : {1, 2, 3, 4, 5, 6, 7, 8, 12, 21}) {
        std::ranges::fill(got, 0.0f);
        table->matmul.matmul(planes.both, 0, planes.n_groups, acts.data(), stride, n, got.data(),
                             kRows);
        ASSERT_EQ(std::memcmp(got.data(), want.data(), n * kRows * sizeof(float)), 0)
            << table->isa << " " << n_cols << " columns, " << n << " tokens";
      }
    }
  }
}

TEST(Planes, HighProductsAreAlikeAndWithinTheirBound) {
  Rng rng(3);
  for (const size_t n_cols : kColumns) {
    const Planes planes(available_kernels().front()->planes, 33, n_cols, 4);
    const size_t stride = activation_row_bytes(Activation::kInt8, n_cols);
    constexpr size_t kTokens = 9, kRows = 33;
    const MatmulTable& scalar = available_kernels().front()->matmul;
    Buffer acts = quantized_activations(kTokens, planes, rng);
    std::vector<float> exact(kTokens * kRows), want(exact), got(exact);
    scalar.matmul(planes.matrix, 0, planes.n_groups, acts.data(), stride, kTokens, exact.data(),
                  kRows);
    scalar.matmul(planes.upper, 0, planes.n_groups, acts.data(), stride, kTokens, want.data(),
                  kRows);
    for (const KernelTable* table : available_kernels()) {
      for (const size_t n : {1, 2, 4, 9}) {
        table->matmul.matmul(planes.upper, 0, planes.n_groups, acts.data(), stride, n, got.data(),
                             kRows);
        ASSERT_EQ(std::memcmp(got.data(), want.data(), n * kRows * sizeof(float)), 0)
            << table->isa << " " << n_cols << " columns, " << n << " tokens";
      }
    }
    const std::vector<float> inverse = inverse_weights(planes.weights);
    for (size_t t = 0; t < kTokens; ++t) {
      const float reach = activation_reach(acts.data() + t * stride, n_cols, inverse.data());
      for (size_t r = 0; r < kRows; ++r) {
        const double missed = std::fabs(double{exact[t * kRows + r]} - want[t * kRows + r]);
        EXPECT_LE(missed, double{planes.rests[r]} * reach) << n_cols << " " << t << " " << r;
      }
    }
    // The bound is reached where it can be: row 0 of every third token.
    const float reach = activation_reach(acts.data() + 2 * stride, n_cols, inverse.data());
    EXPECT_GT(std::fabs(exact[2 * kRows] - want[2 * kRows]), 0.5f * planes.rests[0] * reach);
  }
}

TEST(UpperBounds, AreTheLargestOfEachGroupOnEveryTable) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  Rng rng(6);
  constexpr size_t kGroups = 40;
  std::vector<float> sums(kGroups * kGroupRows), rests(sums.size());
  for (float& sum : sums) sum = normal(rng);
  for (float& rest : rests) rest = std::fabs(normal(rng));
  sums[5] = std::nanf("");
  std::fill_n(sums.begin() + 16, 16, -kInf);
  sums[40] = -kInf;
  std::vector<float> want(kGroups, -kInf), got(kGroups);
  for (size_t i = 0; i < sums.size(); ++i) {
    want[i / 16] = std::max(want[i / 16], std::fma(rests[i], 0.5f, sums[i]));
  }
  want[0] = kInf;
  for (const KernelTable* table : available_kernels()) {
    table->ops.upper_bounds(sums.data(), rests.data(), 0.5f, kGroups, got.data());
    EXPECT_EQ(got, want) << table->isa;
  }
}

// Damaged factors have no bound: such a row is always read in full.
TEST(Planes, WhatIsNotFiniteHasNoBound) {
  for (const KernelTable* table : available_kernels()) {
    const Planes planes(table->planes, 16, 64, 5, true);
    EXPECT_EQ(planes.rests[0], std::numeric_limits<float>::infinity()) << table->isa;
    EXPECT_TRUE(std::isfinite(planes.rests[1])) << table->isa;
  }
}

}  // namespace
}  // namespace maru::kernels
