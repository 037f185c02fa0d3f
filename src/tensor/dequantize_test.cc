// Every type against tests/data/quants: the same float32 values, no tolerance.
#include "tensor/dequantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "source_dir.h"
#include "tensor/half.h"

namespace maru::tensor {
namespace {

constexpr size_t kFileMax = 1 << 20;

std::string read_data(const std::string& name) {
  auto content = read_file(std::string(MARU_SOURCE_DIR "/tests/data/quants/") + name, kFileMax);
  EXPECT_TRUE(content.ok()) << name;
  return content.ok() ? *content : std::string();
}

TEST(Dequantize, EveryTypeOfTheFixturesExactly) {
  const auto manifest = nlohmann::json::parse(read_data("manifest.json"));
  ASSERT_EQ(manifest.size(), 25u);
  for (const auto& entry : manifest) {
    const auto name = entry["type"].get<std::string>();
    const auto dtype = dtype_from_name(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    const DTypeInfo& info = dtype_info(*dtype);
    EXPECT_EQ(info.block_elements, entry["block_elements"].get<size_t>()) << name;
    EXPECT_EQ(info.block_bytes, entry["block_bytes"].get<size_t>()) << name;
    ASSERT_TRUE(can_dequantize(*dtype)) << name;
    const std::string raw = read_data(entry["raw"]);
    const std::string expected = read_data(entry["f32"]);
    const size_t n = raw.size() / info.block_bytes * info.block_elements;
    ASSERT_EQ(expected.size(), n * sizeof(float)) << name;
    std::vector<float> values(n);
    dequantize(*dtype, reinterpret_cast<const std::byte*>(raw.data()), n, values.data());
    for (size_t i = 0; i < n; ++i) {
      const float want = load<float>(expected.data() + i * sizeof(float));
      ASSERT_EQ(values[i], want) << name << " value " << i;
    }
  }
}

TEST(Dequantize, IntegerTypesAreNotWeights) {
  for (DType dtype : {DType::kI8, DType::kI32, DType::kF64, DType::kQ8_1, DType::kQ8_K}) {
    EXPECT_FALSE(can_dequantize(dtype));
  }
}

TEST(Half, EveryFiniteF16IsExact) {
  for (uint32_t h = 0; h < 0x7C00; ++h) {
    const int exponent = static_cast<int>(h >> 10);
    const double mantissa = static_cast<double>(h & 0x3FF) / 1024.0;
    const double want =
        exponent == 0 ? std::ldexp(mantissa, -14) : std::ldexp(1.0 + mantissa, exponent - 15);
    ASSERT_EQ(static_cast<double>(f16_to_f32(static_cast<uint16_t>(h))), want) << h;
    ASSERT_EQ(static_cast<double>(f16_to_f32(static_cast<uint16_t>(h | 0x8000))), -want) << h;
  }
  EXPECT_TRUE(std::isinf(f16_to_f32(0x7C00)));
  EXPECT_TRUE(std::isnan(f16_to_f32(0x7E00)));
}

}  // namespace
}  // namespace maru::tensor
