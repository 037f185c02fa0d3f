#include "importer/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gguf/file.h"
#include "safetensors_writer.h"
#include "tensor/dequantize.h"

namespace maru::importer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PlanTest : public testing::Test {
 protected:
  void open(const testing_support::SafetensorsWriter& writer) {
    source_ = writer.finish();
    auto weights = Weights::parse(std::as_bytes(std::span(source_)));
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    weights_ = std::move(weights).value();
  }

  // The values of the new tensor in the new file; the error's message in error_.
  std::vector<float> made(NewTensor tensor) {
    Plan plan;
    plan.metadata.set_string("general.architecture", "test");
    const std::string name = tensor.name;
    plan.tensors.push_back(std::move(tensor));
    std::string file;
    const auto write = [&](std::span<const std::byte> bytes) -> Result<void> {
      file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return {};
    };
    const auto done = write_plan(plan, weights_, {write, [](uint64_t, uint64_t) {}});
    if (!done.ok()) {
      error_ = done.error().message;
      return {};
    }
    const auto opened = gguf::File::parse(std::as_bytes(std::span(file)));
    EXPECT_TRUE(opened.ok());
    const auto* made = opened->find_tensor(name);
    std::vector<float> values(made->n_elements());
    tensor::dequantize(made->dtype, made->bytes.data(), values.size(), values.data());
    return values;
  }

  std::string source_;
  Weights weights_;
  std::string error_;
};

TEST_F(PlanTest, RowsAreTakenFromWhereTheyLieAndChanged) {
  testing_support::SafetensorsWriter writer;
  writer.add_f32("w", {2, 3}, {0, 1, 2, 3, 4, 5});
  ASSERT_NO_FATAL_FAILURE(open(writer));
  const SourceTensor* w = weights_.find("w");
  NewTensor turned{.name = "t", .dims = {2, 3}, .sources = {w}};
  turned.row = [w](uint64_t row) { return RowRef{w, row, 3}; };
  EXPECT_THAT(made(turned), ElementsAre(0, 3, 1, 4, 2, 5));
  turned.change = Change::kPlusOne;
  EXPECT_THAT(made(turned), ElementsAre(1, 4, 2, 5, 3, 6));
  NewTensor picked{.name = "p", .dims = {2, 2}, .sources = {w}};
  picked.row = [w](uint64_t row) { return RowRef{w, row * 3, 1}; };
  picked.columns = {2, 0};
  picked.n_source_cols = 3;
  EXPECT_THAT(made(picked), ElementsAre(2, 0, 5, 3));
  picked.change = Change::kMinusExp;
  EXPECT_FLOAT_EQ(made(picked)[0], -std::exp(2.0f));
  EXPECT_THAT(made({.name = "v", .dims = {2}, .values = {7, 8}}), ElementsAre(7, 8));
}

TEST_F(PlanTest, ARowOutsideItsTensorIsAnError) {
  testing_support::SafetensorsWriter writer;
  writer.add_f32("w", {2}, {0, 1});
  ASSERT_NO_FATAL_FAILURE(open(writer));
  const SourceTensor* w = weights_.find("w");
  for (const RowRef row : {RowRef{w, 1, 1}, RowRef{w, 2, 1}, RowRef{w, 0, 2}, RowRef{}}) {
    NewTensor tensor{.name = "t", .dims = {2}, .sources = {w}};
    tensor.row = [row](uint64_t) { return row; };
    EXPECT_TRUE(made(tensor).empty());
    EXPECT_THAT(error_, HasSubstr("too small for 't'"));
  }
}

TEST_F(PlanTest, ShortFloatsAreRoundedAndKeptAsTheyAre) {
  testing_support::SafetensorsWriter writer;
  writer.add("b", "BF16", {2}, std::string("\x80\x3F\x01\x40", 4));  // 1, 2.015625
  writer.add_f32("f", {2}, {1.0f + 1.0f / 4096, -3});
  ASSERT_NO_FATAL_FAILURE(open(writer));
  const SourceTensor* b = weights_.find("b");
  NewTensor tensor{.name = "t", .dtype = tensor::DType::kBF16, .dims = {2}, .sources = {b}};
  tensor.row = [b](uint64_t) { return RowRef{b, 0, 1}; };
  EXPECT_THAT(made(tensor), ElementsAre(1.0f, 2.015625f));
  tensor.dtype = tensor::DType::kF16;
  EXPECT_THAT(made(tensor), ElementsAre(1.0f, 2.015625f));
  const SourceTensor* f = weights_.find("f");
  tensor.row = [f](uint64_t) { return RowRef{f, 0, 1}; };
  EXPECT_THAT(made(tensor), ElementsAre(1.0f, -3.0f));
}

TEST_F(PlanTest, BlocksOfMxfp4KeepTheirValues) {
  // Source: value 2i in the low half of byte i. Codes 0 to 15 twice, scale 2^1.
  std::string nibbles;
  for (int i = 0; i < 16; ++i) {
    nibbles.push_back(static_cast<char>((2 * i % 16) | ((2 * i + 1) % 16) << 4));
  }
  testing_support::SafetensorsWriter writer;
  writer.add("blocks", "U8", {1, 1, 1, 16}, nibbles);
  writer.add("scales", "U8", {1, 1, 1}, "\x80");
  ASSERT_NO_FATAL_FAILURE(open(writer));
  const SourceTensor* blocks = weights_.find("blocks");
  NewTensor tensor{.name = "t", .dtype = tensor::DType::kMXFP4, .dims = {32}, .sources = {blocks}};
  tensor.scales = weights_.find("scales");
  tensor.row = [blocks](uint64_t) { return RowRef{blocks, 0, 1}; };
  const std::vector<float> once = {0, 1, 2, 3, 4, 6, 8, 12, -0, -1, -2, -3, -4, -6, -8, -12};
  std::vector<float> twice = once;
  twice.insert(twice.end(), once.begin(), once.end());
  EXPECT_EQ(made(tensor), twice);
  tensor.row = [blocks](uint64_t) { return RowRef{blocks, 1, 1}; };
  EXPECT_TRUE(made(tensor).empty());
}

}  // namespace
}  // namespace maru::importer
