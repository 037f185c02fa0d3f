// Packing and matrix products: every type and table against an exact product of the dequantized
// weights, and against each other bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/activation.h"
#include "kernels/packed_layout.h"
#include "kernels/tables.h"
#include "tensor/dequantize.h"

namespace maru::kernels {
namespace {

using tensor::DType;

constexpr DType kTypes[] = {DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ4_0,
                            DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,   DType::kQ8_0,
                            DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K,
                            DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};

std::string name_of(DType dtype) { return std::string(tensor::dtype_info(dtype).name); }

struct Table {
  std::string isa;
  const MatmulTable* matmul;
};

std::vector<Table> tables() {
  std::vector<Table> tables;
  for (const KernelTable* table : available_kernels()) {
    tables.push_back({std::string(table->isa), &table->matmul});
#if defined(__x86_64__)
    // The available one may be that with vdpbf16ps.
    if (table->isa == "avx512") tables.push_back({"avx512 without bf16", &kMatmulAvx512});
#endif
  }
  return tables;
}

// 64-byte aligned bytes.
class Buffer {
 public:
  explicit Buffer(size_t n) : bytes_(n + 64) {}
  std::byte* data() {
    void* p = bytes_.data();
    size_t space = bytes_.size();
    return static_cast<std::byte*>(std::align(64, bytes_.size() - 64, p, space));
  }

 private:
  std::vector<std::byte> bytes_;
};

// Mean 0, variance 1, at most 3.5: the sum of the four parts of one draw.
float normal(Rng& rng) {
  const uint64_t bits = rng.next();
  int64_t sum = -2 * 65536;
  for (int i = 0; i < 4; ++i) sum += static_cast<int64_t>(bits >> (16 * i) & 0xFFFF);
  return static_cast<float>(static_cast<double>(sum) / 65536 * std::sqrt(3.0));
}

// Where a block of the file has float16 factors.
std::vector<size_t> factor_offsets(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    case DType::kMXFP4:
      return {};
    default:
      return {0};
  }
}

// Random blocks with factors of ordinary size: every bit pattern of the quants occurs.
std::vector<std::byte> random_rows(DType dtype, size_t n_rows, size_t n_cols, Rng& rng) {
  const auto& info = tensor::dtype_info(dtype);
  std::vector<std::byte> rows(n_rows * n_cols / info.block_elements * info.block_bytes);
  for (size_t at = 0; at < rows.size(); at += sizeof(uint64_t)) {
    const uint64_t bits = rng.next();
    std::memcpy(rows.data() + at, &bits, std::min(sizeof bits, rows.size() - at));
  }
  for (size_t at = 0; at < rows.size(); at += info.block_bytes) {
    const auto put = [&](size_t offset, auto value) {
      std::memcpy(rows.data() + at + offset, &value, sizeof value);
    };
    if (dtype == DType::kF32) {
      put(0, normal(rng));
    } else if (dtype == DType::kF16) {
      put(0, static_cast<uint16_t>(0x2000 + rng.below(0x1800) + 0x8000 * rng.below(2)));
    } else if (dtype == DType::kBF16) {
      put(0, static_cast<uint16_t>(0x3D00 + rng.below(0x300) + 0x8000 * rng.below(2)));
    } else if (dtype == DType::kMXFP4) {
      put(0, static_cast<uint8_t>(118 + rng.below(8)));
    } else {
      for (size_t offset : factor_offsets(dtype)) {
        put(offset, static_cast<uint16_t>(0x1800 + rng.below(0x1000) + 0x8000 * rng.below(2)));
      }
    }
  }
  return rows;
}

// A matrix in every form that a test needs.
struct Matrix {
  Matrix(DType dtype, size_t n_rows, size_t n_cols, uint64_t seed) : packed_bytes(0) {
    Rng rng(seed);
    rows = random_rows(dtype, n_rows, n_cols, rng);
    values.resize(n_rows * n_cols);
    tensor::dequantize(dtype, rows.data(), values.size(), values.data());
    packed.dtype = dtype;
    packed.n_rows = n_rows;
    packed.n_cols = n_cols;
    const PackedShape shape = packed_shape(dtype, n_cols);
    activation = shape.activation;
    packed.group_bytes = shape.group_bytes;
    packed_bytes = Buffer(packed.n_groups() * shape.group_bytes);
    pack_groups(packed, rows.data(), 0, packed.n_groups(), packed_bytes.data());
    packed.data = packed_bytes.data();
  }
  std::vector<std::byte> rows;
  std::vector<float> values;  // [n_rows, n_cols]
  Buffer packed_bytes;
  PackedMatrix packed;
  Activation activation;
};

enum class Row { kNormal, kZero, kHeavyTail, kMassive, kTiny, kHuge, kAlternating };
constexpr Row kRows[] = {Row::kNormal, Row::kZero, Row::kHeavyTail,  Row::kMassive,
                         Row::kTiny,   Row::kHuge, Row::kAlternating};

std::vector<float> random_row(Row kind, size_t n, Rng& rng) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) {
    const float z = normal(rng);
    switch (kind) {
      case Row::kNormal:
        x[i] = z;
        break;
      case Row::kZero:
        break;
      case Row::kHeavyTail:
        x[i] = z * z * z;
        break;
      case Row::kMassive:
        x[i] = z;
        break;
      case Row::kTiny:
        x[i] = z * 1e-30f;
        break;
      case Row::kHuge:
        x[i] = z * 1e15f;
        break;
      case Row::kAlternating:
        x[i] = i % 2 == 0 ? 1000.0f + z : -1000.0f + z;
        break;
    }
  }
  if (kind == Row::kMassive) {
    x[rng.below(n)] = 9000.0f;
    x[rng.below(n)] = -2500.0f;
  }
  return x;
}

// Activations of n_tokens rows, quantized by one table: of one kind, or of each once and then
// mixed.
struct Inputs {
  Inputs(const MatmulTable& table, const Matrix& w, size_t n_tokens, uint64_t seed, int kind = -1)
      : stride(activation_row_bytes(w.activation, w.packed.n_cols)),
        bytes(stride * n_tokens),
        n_tokens(n_tokens) {
    Rng rng(seed);
    for (size_t t = 0; t < n_tokens; ++t) {
      const size_t mixed = t < std::size(kRows) ? t : rng.below(std::size(kRows));
      const Row row = kRows[kind >= 0 ? static_cast<size_t>(kind) : mixed];
      x.push_back(random_row(row, w.packed.n_cols, rng));
      table.quantize_row(w.activation, x.back().data(), w.packed.n_cols, bytes.data() + t * stride);
    }
  }
  size_t stride;
  Buffer bytes;
  size_t n_tokens;
  std::vector<std::vector<float>> x;
};

constexpr float kUntouched = -12345.0f;

std::vector<float> multiply(const MatmulTable& table, const Matrix& w, Inputs& in,
                            size_t y_stride) {
  std::vector<float> y(in.n_tokens * y_stride, kUntouched);
  table.matmul(w.packed, 0, w.packed.n_groups(), in.bytes.data(), in.stride, in.n_tokens, y.data(),
               y_stride);
  return y;
}

// What a product may be off by, row r, token t. int8: each activation by half a step of its block
// (1/254 of the block's maximum), with a second plane by 1/254 of that; bf16: each activation by
// 1/256 of itself. All: a few float32 roundings of partial sums, which are below the block's
// largest weight times its activations.
double allowed_error(const Matrix& w, Inputs& in, size_t r, size_t t) {
  const size_t n_cols = w.packed.n_cols;
  double steps = 0, size = 0, halves = 0;
  for (size_t b = 0; b < n_cols; b += 32) {
    double max_w = 0, sum_w = 0, max_x = 0, sum_x = 0;
    for (size_t k = b; k < std::min(b + 32, n_cols); ++k) {
      max_w = std::max(max_w, std::fabs(double{w.values[r * n_cols + k]}));
      sum_w += std::fabs(double{w.values[r * n_cols + k]});
      max_x = std::max(max_x, std::fabs(double{in.x[t][k]}));
      sum_x += std::fabs(double{in.x[t][k]});
      halves += std::fabs(double{w.values[r * n_cols + k]} * in.x[t][k]) / 256;
    }
    steps += sum_w * max_x / 254;
    size += max_w * sum_x;
  }
  const double rounding = 2e-6 * size + 1e-37;
  if (w.activation == Activation::kF32) return rounding;
  if (w.activation == Activation::kBf16) return halves * 1.001 + rounding;
  const auto& header = activation_header(in.bytes.data() + t * in.stride);
  return steps * 1.001 / (header.n_planes == 2 ? 254 : 1) + rounding;
}

double exact_product(const Matrix& w, const std::vector<float>& x, size_t r) {
  double sum = 0;
  for (size_t k = 0; k < x.size(); ++k) sum += double{w.values[r * x.size() + k]} * double{x[k]};
  return sum;
}

// A multiple of the block in K that is not one of the next larger blocks.
size_t some_columns(DType dtype) {
  const size_t block = tensor::dtype_info(dtype).block_elements;
  return block == 1 ? 97 : 3 * block;
}

TEST(Matmul, AgreesWithTheExactProduct) {
  for (DType dtype : kTypes) {
    const Matrix w(dtype, 37, some_columns(dtype), 7);
    for (const Table& table : tables()) {
      for (int kind = 0; kind < static_cast<int>(std::size(kRows)); ++kind) {
        Inputs in(*table.matmul, w, 3, 11 + static_cast<uint64_t>(kind), kind);
        const std::vector<float> y = multiply(*table.matmul, w, in, 37);
        for (size_t i = 0; i < y.size(); ++i) {
          const size_t t = i / 37, r = i % 37;
          ASSERT_NEAR(y[i], exact_product(w, in.x[t], r), allowed_error(w, in, r, t))
              << name_of(dtype) << " " << table.isa << " row kind " << kind << " row " << r;
        }
      }
    }
  }
}

std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size() * sizeof(float));
  return bits;
}

TEST(QuantizeRow, AllTablesGiveTheSameBytes) {
  Rng rng(5);
  for (const Row kind : kRows) {
    for (size_t n : {32u, 96u, 576u, 1536u, 4096u}) {
      const std::vector<float> x = random_row(kind, n, rng);
      for (Activation activation : {Activation::kInt8, Activation::kF32, Activation::kBf16}) {
        const size_t n_bytes = activation_row_bytes(activation, n);
        Buffer want(n_bytes), got(n_bytes);
        kMatmulScalar.quantize_row(activation, x.data(), n, want.data());
        for (const Table& table : tables()) {
          std::fill_n(got.data(), n_bytes, std::byte{0xAB});
          table.matmul->quantize_row(activation, x.data(), n, got.data());
          size_t n_used = n_bytes;
          if (activation == Activation::kInt8 && activation_header(want.data()).n_planes == 1) {
            n_used = sizeof(ActivationHeader) + n / kRun * sizeof(ActivationBlock);
          }
          ASSERT_EQ(std::memcmp(want.data(), got.data(), n_used), 0)
              << table.isa << " kind " << static_cast<int>(kind) << " n " << n;
        }
      }
    }
  }
}

// The planes of a row, put back together.
std::vector<double> values_of(const std::byte* row, size_t n) {
  std::vector<double> values(n);
  for (size_t plane = 0; plane < activation_header(row).n_planes; ++plane) {
    const ActivationBlock* blocks = activation_plane(row, n, plane);
    for (size_t i = 0; i < n; ++i) {
      values[i] += double{blocks[i / 32].scale} * blocks[i / 32].q[i % 32];
    }
  }
  return values;
}

TEST(QuantizeRow, OutliersGetASecondPlane) {
  Rng rng(6);
  constexpr size_t kN = 1536;
  for (const Row kind : {Row::kNormal, Row::kHeavyTail, Row::kMassive}) {
    const std::vector<float> x = random_row(kind, kN, rng);
    Buffer row(activation_row_bytes(Activation::kInt8, kN));
    kMatmulScalar.quantize_row(Activation::kInt8, x.data(), kN, row.data());
    EXPECT_EQ(activation_header(row.data()).n_planes, kind == Row::kMassive ? 2u : 1u);
    const std::vector<double> values = values_of(row.data(), kN);
    double energy = 0, missed = 0;  // of the values that are not outliers
    for (size_t i = 0; i < kN; ++i) {
      if (std::fabs(x[i]) > 1000) continue;
      energy += double{x[i]} * x[i];
      missed += (x[i] - values[i]) * (x[i] - values[i]);
    }
    EXPECT_LT(missed, 2e-3 * energy) << static_cast<int>(kind);
  }
}

TEST(QuantizeRow, WhatIsNotFiniteMakesTheProductNaN) {
  for (float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    const Matrix w(DType::kQ8_0, 16, 96, 1);
    std::vector<float> x(96, 1.0f);
    x[40] = bad;
    Buffer row(activation_row_bytes(Activation::kInt8, 96));
    for (const Table& table : tables()) {
      float y[16];
      table.matmul->quantize_row(Activation::kInt8, x.data(), 96, row.data());
      table.matmul->matmul(w.packed, 0, 1, row.data(), 0, 1, y, 16);
      for (float value : y) EXPECT_TRUE(std::isnan(value)) << table.isa;
    }
  }
}

// Lengths of a row that leave units, blocks of columns and lines unfilled, of those that the type
// can have; the last is long enough for less than 67 activations to fill kColumnBlockBytes.
std::vector<size_t> row_lengths(DType dtype) {
  std::vector<size_t> lengths;
  for (size_t n : {1, 3, 97, 32, 64, 96, 160, 256, 288, 512, 576, 640, 768, 896, 1280, 4096}) {
    if (n % tensor::dtype_info(dtype).block_elements == 0) lengths.push_back(n);
  }
  return lengths;
}

// Every type, table, number of tokens and number of rows, at many lengths. The reference is asked
// once for the most tokens and rows: fewer give the same bits.
TEST(Matmul, EveryShapeOnEveryTableGivesTheBitsOfTheReference) {
  constexpr size_t kTokensMost = 67, kStride = 35;
  for (DType dtype : kTypes) {
    for (size_t n_cols : row_lengths(dtype)) {
      Matrix w(dtype, 33, n_cols, 21);
      Inputs in(kMatmulScalar, w, kTokensMost, 100 + n_cols);
      const std::vector<float> want = multiply(kMatmulScalar, w, in, kStride);
      for (size_t t = 0; t < 2 * std::size(kRows); ++t) {
        for (size_t r = 0; r < 33; ++r) {
          ASSERT_NEAR(want[t * kStride + r], exact_product(w, in.x[t], r),
                      allowed_error(w, in, r, t))
              << name_of(dtype) << " " << n_cols << " columns, token " << t << " row " << r;
        }
      }
      const std::vector<float> untouched(want.size(), kUntouched);
      std::vector<float> y = untouched;
      for (const Table& table : tables()) {
        if (table.isa == "scalar") continue;
        for (size_t n_rows : {1, 15, 17, 33}) {
          w.packed.n_rows = n_rows;
          std::vector<float> expected = untouched;
          for (size_t n = 1; n <= kTokensMost; ++n) {
            std::memcpy(&expected[(n - 1) * kStride], &want[(n - 1) * kStride],
                        n_rows * sizeof(float));
            std::memcpy(y.data(), untouched.data(), y.size() * sizeof(float));
            table.matmul->matmul(w.packed, 0, w.packed.n_groups(), in.bytes.data(), in.stride, n,
                                 y.data(), kStride);
            ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
                << name_of(dtype) << " " << table.isa << " " << n_cols << " columns, " << n_rows
                << " rows, " << n << " tokens";
          }
        }
      }
    }
  }
}

TEST(Matmul, ManyShapesGiveTheSameBits) {
  Rng rng(22);
  for (int i = 0; i < 60; ++i) {
    const DType dtype = kTypes[rng.below(std::size(kTypes))];
    const size_t block = tensor::dtype_info(dtype).block_elements;
    const size_t n_cols = block == 1 ? 1 + rng.below(300) : block * (1 + rng.below(512 / block));
    const size_t n_rows = 1 + rng.below(80);
    const Matrix w(dtype, n_rows, n_cols, rng.next());
    Inputs in(kMatmulScalar, w, 1 + rng.below(24), rng.next());
    const auto want = bits_of(multiply(kMatmulScalar, w, in, n_rows));
    for (const Table& table : tables()) {
      ASSERT_EQ(bits_of(multiply(*table.matmul, w, in, n_rows)), want)
          << name_of(dtype) << " " << table.isa << " " << n_rows << " x " << n_cols;
    }
  }
}

// Any way to cut rows and columns into calls gives the bits of one call.
TEST(Matmul, DoesNotDependOnHowTheWorkIsCut) {
  for (DType dtype : kTypes) {
    const Matrix w(dtype, 75, some_columns(dtype), 31);
    for (const Table& table : tables()) {
      Inputs in(*table.matmul, w, 21, 32);
      const auto want = bits_of(multiply(*table.matmul, w, in, 75));
      std::vector<float> y(want.size(), kUntouched);
      for (size_t t = 0; t < 21; ++t) {
        for (size_t group = 0; group < w.packed.n_groups(); group += 2) {
          const size_t end = std::min(group + 2, w.packed.n_groups());
          table.matmul->matmul(w.packed, group, end, in.bytes.data() + t * in.stride, in.stride, 1,
                               y.data() + t * 75, 75);
        }
      }
      ASSERT_EQ(bits_of(y), want) << name_of(dtype) << " " << table.isa;
    }
  }
}

// A float product keeps 1e-5 of an ordinary sum, one with bf16 0.3 %, an int8 one 1 %: what the
// design promises.
TEST(Matmul, OrdinaryRowsAreAccurate) {
  for (DType dtype : kTypes) {
    const size_t n_cols = 1024;
    const Matrix w(dtype, 64, n_cols, 41);
    Inputs in(kMatmulScalar, w, 4, 42, 0);
    const std::vector<float> y = multiply(kMatmulScalar, w, in, 64);
    double error = 0, energy = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      double norm = 0;  // the size of the sum were its terms independent
      for (size_t k = 0; k < n_cols; ++k) {
        norm += std::pow(double{w.values[i % 64 * n_cols + k]} * in.x[i / 64][k], 2);
      }
      error += std::pow(y[i] - exact_product(w, in.x[i / 64], i % 64), 2);
      energy += norm;
    }
    const double most = w.activation == Activation::kF32    ? 1e-5
                        : w.activation == Activation::kBf16 ? 3e-3
                                                            : 1e-2;
    EXPECT_LT(std::sqrt(error / energy), most) << name_of(dtype);
  }
}

// Subnormal operands and sums count as 0 everywhere, as the instruction has it.
TEST(Matmul, Bf16FlushesSubnormalsOnEveryTable) {
  constexpr uint16_t kOne = 0x3F80, kSmallest = 0x0080, kSubnormal = 0x007F, kHalf = 0x3F00;
  // Weights of column k in all rows, the activation, the product.
  struct Case {
    uint16_t w[2];
    float x[2];
    float want;
  };
  const float smallest = 0x1p-126f;
  const Case cases[] = {
      {{kSubnormal, kOne}, {1.0f, 0.0f}, 0.0f},  // a subnormal weight
      {{kOne, 0}, {0x1p-127f, 0.0f}, 0.0f},      // a subnormal activation
      {{kSmallest, 0}, {0.5f, 0.0f}, 0.0f},      // a subnormal product
      {{kSmallest, 0}, {1.0f, 0.0f}, smallest},
      {{kHalf, kOne}, {-0x1p-125f, 0x1.8p-126f}, 0.0f},  // and a difference
  };
  for (const Case& c : cases) {
    Matrix w(DType::kBF16, 16, 2, 1);
    for (size_t r = 0; r < 16; ++r) std::memcpy(w.packed_bytes.data() + 4 * r, c.w, sizeof c.w);
    for (const Table& table : tables()) {
      Buffer row(activation_row_bytes(Activation::kBf16, 2));
      table.matmul->quantize_row(Activation::kBf16, c.x, 2, row.data());
      float y[16];
      table.matmul->matmul(w.packed, 0, 1, row.data(), 0, 1, y, 16);
      for (const float value : y) EXPECT_EQ(value, c.want) << table.isa;
    }
  }
}

// The packed form holds the file's weights exactly: with an activation row that is 127 at column k
// and zero elsewhere the product is column k; a wrong bit anywhere would be thousands of times the
// rounding that is allowed.
TEST(Pack, KeepsEveryWeight) {
  for (DType dtype : kTypes) {
    const bool k_quant = tensor::dtype_info(dtype).block_elements == 256;
    const Matrix w(dtype, 19, k_quant ? 256 : 64, 3);
    const size_t n_cols = w.packed.n_cols;
    Buffer act(activation_row_bytes(w.activation, n_cols));
    for (size_t k = 0; k < n_cols; ++k) {
      std::vector<float> x(n_cols);
      x[k] = 127.0f;
      kMatmulScalar.quantize_row(w.activation, x.data(), n_cols, act.data());
      std::vector<float> y(19);
      kMatmulScalar.matmul(w.packed, 0, 2, act.data(), 0, 1, y.data(), 19);
      for (size_t r = 0; r < 19; ++r) {
        const float want = w.values[r * n_cols + k] * 127.0f;
        float largest = 0;
        for (size_t i = 0; i < n_cols; ++i) {
          largest = std::max(largest, std::fabs(w.values[r * n_cols + i]) * 127.0f);
        }
        ASSERT_NEAR(y[r], want, largest * 1e-6) << name_of(dtype) << " " << r << "," << k;
      }
    }
  }
}

}  // namespace
}  // namespace maru::kernels
