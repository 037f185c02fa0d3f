// Encoders against the exact decoders: what a block can hold comes back as it was, and the error on
// other values is not above that of the reference encoders.
#include "tensor/quantize.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "tensor/dequantize.h"
#include "tensor/half.h"

namespace maru::tensor {
namespace {

constexpr std::array<DType, 8> kQuantized = {DType::kQ4_0, DType::kQ5_0, DType::kQ5_1,
                                             DType::kQ8_0, DType::kQ4_K, DType::kQ5_K,
                                             DType::kQ6_K, DType::kMXFP4};

std::vector<float> there_and_back(DType dtype, const std::vector<float>& values) {
  const DTypeInfo& info = dtype_info(dtype);
  std::vector<std::byte> blocks(values.size() / info.block_elements * info.block_bytes);
  quantize(dtype, values.data(), values.size(), blocks.data());
  std::vector<float> back(values.size());
  dequantize(dtype, blocks.data(), values.size(), back.data());
  return back;
}

// Integers of [low, high], both ends among them.
std::vector<int> codes_with_ends(Rng& rng, size_t n, int low, int high) {
  std::vector<int> codes(n);
  for (int& code : codes) {
    code = low + static_cast<int>(rng.below(static_cast<uint64_t>(high - low + 1)));
  }
  const size_t at = rng.below(n);
  codes[at] = low;
  codes[(at + 1 + rng.below(n - 1)) % n] = high;
  return codes;
}

TEST(Quantize, PlainTypesRoundToNearest) {
  const std::vector<float> values = {0.0f,     -0.0f,         1.0f,       -2.5f,     1.0f / 3,
                                     65504.0f, -1e6f,         0x1.002p0f, 1e-7f,     0x1.006p0f,
                                     3e38f,    -0x1.fffp-15f, 0x1p-25f,   0x1.8p-24f};
  EXPECT_EQ(there_and_back(DType::kF32, values), values);
  EXPECT_EQ(there_and_back(DType::kF16, values),
            (std::vector<float>{0.0f, -0.0f, 1.0f, -2.5f, 0x1.554p-2f, 65504.0f, -65504.0f, 1.0f,
                                0x1p-23f, 0x1.008p0f, 65504.0f, -0x1p-14f, 0.0f, 0x1p-23f}));
  EXPECT_EQ(there_and_back(DType::kBF16, values),
            (std::vector<float>{0.0f, -0.0f, 1.0f, -2.5f, 0x1.56p-2f, 65536.0f, -0x1.e8p19f, 1.0f,
                                0x1.aep-24f, 1.0f, 0x1.c4p127f, -0x1p-14f, 0x1p-25f, 0x1.8p-24f}));
  EXPECT_EQ(there_and_back(DType::kBF16, {0x1.fffffep127f})[0], 0x1.fep127f);  // no infinity
}

TEST(Quantize, BlocksOf32HoldTheirOwnValues) {
  Rng rng(5);
  struct Shape {
    DType dtype;
    int low, high;
    float min;
  };
  for (const Shape& shape : {Shape{DType::kQ4_0, -8, 7, 0}, Shape{DType::kQ5_0, -16, 15, 0},
                             Shape{DType::kQ8_0, -127, 127, 0}, Shape{DType::kQ5_1, 0, 31, -3.25f},
                             Shape{DType::kQ5_1, 0, 31, 2.5f}}) {
    for (int round = 0; round < 50; ++round) {
      const float d = (round % 2 == 0 ? 1.0f : -1.0f) *
                      f16_to_f32(static_cast<uint16_t>(0x2400 + rng.below(0x0800)));
      const bool can_flip = shape.low < 0;
      std::vector<float> values;
      for (const int code : codes_with_ends(rng, 32, shape.low, shape.high)) {
        values.push_back((can_flip ? d : std::fabs(d)) * static_cast<float>(code) + shape.min);
      }
      EXPECT_EQ(there_and_back(shape.dtype, values), values)
          << dtype_info(shape.dtype).name << " round " << round;
    }
  }
}

TEST(Quantize, Mxfp4HoldsItsOwnValues) {
  Rng rng(6);
  for (int exponent = -20; exponent < 20; ++exponent) {
    std::vector<float> values;
    for (size_t i = 0; i < 32; ++i) {
      constexpr std::array<float, 8> kE2m1 = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
      const float magnitude = i == 7 ? 6.0f : kE2m1[rng.below(8)];
      values.push_back(std::ldexp(rng.below(2) == 0 ? magnitude : -magnitude, exponent));
    }
    EXPECT_EQ(there_and_back(DType::kMXFP4, values), values) << exponent;
  }
}

// One run has the largest scale, another the largest minimum, and every run both ends.
TEST(Quantize, AffineKBlocksHoldTheirOwnValues) {
  Rng rng(7);
  for (const auto& [dtype, high] : {std::pair{DType::kQ4_K, 15}, std::pair{DType::kQ5_K, 31}}) {
    for (int round = 0; round < 50; ++round) {
      const float d = f16_to_f32(static_cast<uint16_t>(0x1400 + rng.below(0x0800)));
      const float dmin = f16_to_f32(static_cast<uint16_t>(0x1400 + rng.below(0x0800)));
      std::vector<float> values;
      const size_t largest = rng.below(8);
      for (size_t j = 0; j < 8; ++j) {
        const auto scale = static_cast<float>(j == largest ? 63 : 8 + rng.below(56));
        const auto min = static_cast<float>(j == (largest + 3) % 8 ? 63 : 4 + rng.below(60));
        for (const int code : codes_with_ends(rng, 32, 0, high)) {
          values.push_back(d * scale * static_cast<float>(code) - dmin * min);
        }
      }
      const std::vector<float> back = there_and_back(dtype, values);
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(back[i], values[i]) << dtype_info(dtype).name << " round " << round << " " << i;
      }
    }
  }
}

TEST(Quantize, Q6KBlocksHoldTheirOwnValues) {
  Rng rng(8);
  for (int round = 0; round < 50; ++round) {
    const float d = f16_to_f32(static_cast<uint16_t>(0x1400 + rng.below(0x0800)));
    std::vector<float> values;
    const size_t largest = rng.below(16);
    for (size_t j = 0; j < 16; ++j) {
      const int sign = rng.below(2) == 0 ? 1 : -1;
      const int scale = j == largest ? -128 : sign * (16 + static_cast<int>(rng.below(110)));
      for (const int code : codes_with_ends(rng, 16, -32, 31)) {
        values.push_back(d * static_cast<float>(scale * code));
      }
    }
    const std::vector<float> back = there_and_back(DType::kQ6_K, values);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(back[i], values[i]) << "round " << round << " " << i << " d " << d;
    }
  }
}

TEST(Quantize, ZerosStayZeros) {
  for (const DType dtype : kQuantized) {
    for (const float value : there_and_back(dtype, std::vector<float>(512, 0.0f))) {
      ASSERT_EQ(value, 0.0f) << dtype_info(dtype).name;
    }
  }
}

// Any size of values, mixed within a block: finite, and hardly worse than zeros would be.
TEST(Quantize, WildValuesStayFinite) {
  Rng rng(9);
  for (int round = 0; round < 400; ++round) {
    std::vector<float> values(256);
    const int spread = static_cast<int>(rng.below(40));
    const int center = static_cast<int>(rng.below(70)) - 45;
    for (float& value : values) {
      const int exponent = center + static_cast<int>(rng.below(static_cast<uint64_t>(spread + 1)));
      value = static_cast<float>(std::ldexp(rng.uniform() * 2 - 1, std::min(exponent, 45)));
      ASSERT_LE(std::fabs(value), kQuantizeMagnitudeMax);
    }
    for (const DType dtype : kQuantized) {
      const std::vector<float> back = there_and_back(dtype, values);
      double error = 0, of_zeros = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_TRUE(std::isfinite(back[i])) << dtype_info(dtype).name << " round " << round;
        error += std::pow(static_cast<double>(back[i]) - values[i], 2);
        of_zeros += std::pow(static_cast<double>(values[i]), 2);
      }
      // What a scale or a minimum may be off below the smallest float16.
      const double unavoidable = 256 * std::pow(0x1p-24, 2);
      ASSERT_LE(error, of_zeros * 1.0001 + unavoidable)
          << dtype_info(dtype).name << " round " << round;
    }
  }
}

// The same values as bench/reference_encoders.py makes, in double precision.
std::vector<float> sample(const std::string& kind) {
  constexpr size_t kValues = 32768;
  Rng rng(1);
  std::vector<float> values;
  for (size_t i = 0; i < kValues; ++i) {
    double bell = 0;
    for (int k = 0; k < 4; ++k) bell += rng.uniform() - 0.5;
    const double spread = rng.uniform();
    if (kind == "bell") values.push_back(static_cast<float>(bell * 0.03));
    if (kind == "tails") {
      values.push_back(static_cast<float>(bell * 0.02 / (0.05 + spread * spread)));
    }
    if (kind == "positive") values.push_back(static_cast<float>((bell + 2.0) * 0.01));
    if (kind == "small") values.push_back(static_cast<float>(bell * 0.0001));
  }
  return values;
}

struct Reference {
  DType dtype;
  std::array<double, 4> error;  // root mean square, of each kind
};

// ggml's encoders without an importance matrix: what bench/reference_encoders.py printed with the
// ggml of llama.cpp (ggml 0.25.3).
constexpr std::array<const char*, 4> kKinds = {"bell", "tails", "positive", "small"};
constexpr std::array<Reference, 8> kReference = {{
    {DType::kQ4_0, {1.416310e-03, 1.155503e-02, 1.127529e-03, 4.721521e-06}},
    {DType::kQ5_0, {7.001112e-04, 5.970992e-03, 5.627156e-04, 2.336604e-06}},
    {DType::kQ5_1, {6.366792e-04, 4.816147e-03, 2.121979e-04, 2.142607e-06}},
    {DType::kQ8_0, {8.782908e-05, 7.518382e-04, 7.104929e-05, 1.012225e-06}},
    {DType::kQ4_K, {1.194577e-03, 9.255716e-03, 5.472331e-04, 4.714705e-06}},
    {DType::kQ5_K, {6.039056e-04, 4.660753e-03, 2.728627e-04, 6.387977e-06}},
    {DType::kQ6_K, {2.953712e-04, 2.409311e-03, 2.397041e-04, 1.668175e-06}},
    {DType::kMXFP4, {1.940347e-03, 1.322895e-02, 2.289787e-03, 6.724737e-06}},
}};

TEST(Quantize, ErrorIsNotAboveTheReferenceEncoders) {
  for (size_t k = 0; k < kKinds.size(); ++k) {
    const std::vector<float> values = sample(kKinds[k]);
    for (const Reference& reference : kReference) {
      const std::vector<float> back = there_and_back(reference.dtype, values);
      double error = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        error += std::pow(static_cast<double>(back[i]) - values[i], 2);
      }
      error = std::sqrt(error / static_cast<double>(values.size()));
      EXPECT_LE(error, reference.error[k]) << dtype_info(reference.dtype).name << " " << kKinds[k];
      RecordProperty(std::string(dtype_info(reference.dtype).name) + "_" + kKinds[k],
                     std::to_string(error / reference.error[k]));
    }
  }
}

TEST(Quantize, OtherTypesAreNotMade) {
  for (const DType dtype : {DType::kQ2_K, DType::kIQ4_NL, DType::kI32, DType::kQ8_K}) {
    EXPECT_FALSE(can_quantize(dtype));
  }
  for (const DType dtype : kQuantized) EXPECT_TRUE(can_quantize(dtype));
}

}  // namespace
}  // namespace maru::tensor
