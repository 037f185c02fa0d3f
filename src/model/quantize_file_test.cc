// Which tensor gets which type, and whether the file that is written holds just that.
#include "model/quantize_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "gguf/writer.h"
#include "tensor/dequantize.h"
#include "tensor/half.h"
#include "tensor/quantize.h"

namespace maru::model {
namespace {

using tensor::DType;

std::span<const std::byte> as_bytes(const auto& container) {
  return std::as_bytes(std::span(container));
}

// A model that is nothing but names and random weights.
class Source {
 public:
  explicit Source(std::string architecture) : architecture_(std::move(architecture)) {
    writer_.set_string("general.architecture", architecture_);
    writer_.set_strings("tokenizer.ggml.tokens", std::vector<std::string>{"a", "", "한"});
    writer_.set_u32("general.file_type", 1);
    writer_.set_u32("split.count", 1);
    writer_.set_f32(architecture_ + ".rope.freq_base", 1e6f);
  }

  void set_count(const std::string& key, uint32_t value) {
    writer_.set_u32(architecture_ + "." + key, value);
  }

  void add(const std::string& name, std::vector<uint64_t> dims, DType dtype = DType::kF32) {
    size_t n = 1;
    for (const uint64_t dim : dims) n *= dim;
    std::vector<float> values(n);
    for (float& value : values) value = static_cast<float>(rng_.uniform() - 0.5);
    if (n > bad_at_) values[bad_at_] = bad_;
    const tensor::DTypeInfo& info = tensor::dtype_info(dtype);
    std::vector<std::byte> bytes(n / info.block_elements * info.block_bytes);
    tensor::quantize(dtype, values.data(), n, bytes.data());
    writer_.add_tensor(name, dtype, dims, bytes);
  }

  // The next tensors hold `value` there.
  void poison(size_t element, float value) {
    bad_at_ = element;
    bad_ = value;
  }

  gguf::File file() {
    bytes_ = writer_.finish();
    auto file = gguf::File::parse(as_bytes(bytes_));
    CHECK(file.ok());
    return std::move(file).value();
  }

 private:
  std::string architecture_;
  gguf::Writer writer_;
  Rng rng_{3};
  std::string bytes_;
  size_t bad_at_ = std::numeric_limits<size_t>::max();
  float bad_ = 0;
};

Source sixteen_layers(uint32_t n_expert = 0) {
  Source source("llama");
  source.set_count("block_count", 16);
  if (n_expert > 0) source.set_count("expert_count", n_expert);
  source.add("token_embd.weight", {256, 4});
  source.add("output.weight", {256, 4});
  source.add("output_norm.weight", {256}, DType::kF16);
  for (int i = 0; i < 16; ++i) {
    const std::string layer = "blk." + std::to_string(i) + ".";
    source.add(layer + "attn_norm.weight", {256});
    source.add(layer + "attn_q.weight", {256, 2}, DType::kBF16);
    source.add(layer + "attn_k.weight", {256, 2});
    source.add(layer + "attn_v.weight", {256, 2}, DType::kF16);
    source.add(layer + "attn_output.weight", {256, 2});
    source.add(layer + "ffn_down.weight", {512, 2});
    if (n_expert > 0) {
      source.add(layer + "ffn_gate_inp.weight", {256, n_expert});
      source.add(layer + "ffn_up_exps.weight", {256, 2, n_expert});
    }
  }
  return source;
}

std::vector<TensorPlan> plan(const gguf::File& file, std::string_view type,
                             bool requantize = false) {
  const QuantizeTarget* target = find_quantize_target(type);
  EXPECT_NE(target, nullptr) << type;
  auto plans = plan_quantization(file, *target, {.requantize = requantize});
  EXPECT_TRUE(plans.ok()) << (plans.ok() ? "" : plans.error().message);
  return plans.ok() ? *plans : std::vector<TensorPlan>();
}

std::string type_of(const std::vector<TensorPlan>& plans, std::string_view name) {
  for (const TensorPlan& plan : plans) {
    if (plan.from.name == name) return std::string(tensor::dtype_info(plan.to).name);
  }
  return "none";
}

TEST(QuantizePlan, TheMixesAreTheKnownOnes) {
  Source source = sixteen_layers();
  const gguf::File file = source.file();
  for (const auto& [type, most] : {std::pair{"Q4_K_M", "Q4_K"}, std::pair{"q5_k_m", "Q5_K"}}) {
    const auto plans = plan(file, type);
    EXPECT_EQ(type_of(plans, "output.weight"), "Q6_K");
    EXPECT_EQ(type_of(plans, "token_embd.weight"), most);
    EXPECT_EQ(type_of(plans, "output_norm.weight"), "F32");
    for (int i = 0; i < 16; ++i) {
      // n / 8 = 2 at either end, and 2 + 2, 2 + 5, ... between.
      const bool more = i < 2 || i >= 14 || i == 4 || i == 7 || i == 10 || i == 13;
      const std::string layer = "blk." + std::to_string(i) + ".";
      EXPECT_EQ(type_of(plans, layer + "attn_v.weight"), more ? "Q6_K" : most) << i;
      EXPECT_EQ(type_of(plans, layer + "ffn_down.weight"), more ? "Q6_K" : most) << i;
      EXPECT_EQ(type_of(plans, layer + "attn_q.weight"), most) << i;
      EXPECT_EQ(type_of(plans, layer + "attn_norm.weight"), "F32") << i;
    }
  }
}

TEST(QuantizePlan, PlainTypes) {
  Source source = sixteen_layers();
  const gguf::File file = source.file();
  EXPECT_EQ(type_of(plan(file, "Q8_0"), "output.weight"), "Q8_0");
  EXPECT_EQ(type_of(plan(file, "Q4_0"), "output.weight"), "Q6_K");
  EXPECT_EQ(type_of(plan(file, "Q4_0"), "blk.3.ffn_down.weight"), "Q4_0");
  EXPECT_EQ(type_of(plan(file, "Q6_K"), "blk.3.attn_k.weight"), "Q6_K");
  EXPECT_EQ(type_of(plan(file, "BF16"), "blk.3.attn_k.weight"), "BF16");
  EXPECT_EQ(type_of(plan(file, "MXFP4"), "blk.3.attn_k.weight"), "MXFP4");
  EXPECT_EQ(type_of(plan(file, "MXFP4"), "token_embd.weight"), "Q8_0");
  EXPECT_EQ(find_quantize_target("Q2_K"), nullptr);
}

TEST(QuantizePlan, Experts) {
  Source source = sixteen_layers(8);
  const gguf::File file = source.file();
  const auto mixed = plan(file, "Q4_K_M");
  EXPECT_EQ(type_of(mixed, "blk.3.attn_v.weight"), "Q8_0");
  EXPECT_EQ(type_of(mixed, "blk.3.attn_k.weight"), "Q8_0");
  EXPECT_EQ(type_of(mixed, "blk.3.attn_output.weight"), "Q5_K");
  EXPECT_EQ(type_of(mixed, "blk.3.ffn_gate_inp.weight"), "F32");
  const auto mxfp4 = plan(file, "MXFP4");
  EXPECT_EQ(type_of(mxfp4, "blk.3.ffn_up_exps.weight"), "MXFP4");
  EXPECT_EQ(type_of(mxfp4, "blk.3.attn_k.weight"), "Q8_0");
}

TEST(QuantizePlan, TiedEmbeddingsAreTheOutput) {
  Source source("llama");
  source.add("token_embd.weight", {256, 4});
  const gguf::File file = source.file();
  EXPECT_EQ(type_of(plan(file, "Q4_K_M"), "token_embd.weight"), "Q6_K");
}

TEST(QuantizePlan, RowsThatDoNotFitFallBack) {
  Source source("llama");
  source.add("token_embd.weight", {32, 4});
  source.add("output.weight", {32, 4});
  source.add("blk.0.attn_q.weight", {96, 4});
  source.add("blk.0.attn_k.weight", {24, 4});
  const gguf::File file = source.file();
  const auto plans = plan(file, "Q4_K_M");
  EXPECT_EQ(type_of(plans, "output.weight"), "Q8_0");
  EXPECT_EQ(type_of(plans, "blk.0.attn_q.weight"), "Q5_0");
  EXPECT_EQ(plans[2].wanted, DType::kQ4_K);
  EXPECT_EQ(type_of(plans, "blk.0.attn_k.weight"), "F16");
  EXPECT_EQ(type_of(plan(file, "Q5_K_M"), "blk.0.attn_q.weight"), "Q5_1");
  EXPECT_EQ(type_of(plan(file, "Q6_K"), "blk.0.attn_q.weight"), "Q8_0");
  EXPECT_EQ(type_of(plan(file, "MXFP4"), "blk.0.attn_k.weight"), "F16");
}

TEST(QuantizePlan, QuantizedInputIsRefused) {
  Source source("llama");
  source.add("blk.0.attn_q.weight", {256, 4}, DType::kQ4_0);
  const gguf::File file = source.file();
  const auto refused = plan_quantization(file, *find_quantize_target("Q8_0"), {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().message.find("--requantize"), std::string::npos);
  EXPECT_EQ(type_of(plan(file, "Q8_0", true), "blk.0.attn_q.weight"), "Q8_0");
}

struct Written {
  std::string bytes;
  Result<void> result;
};

Written write(const gguf::File& file, std::string_view type, size_t n_threads) {
  ThreadPool pool(n_threads);
  const auto plans = plan(file, type);
  std::string bytes;
  uint64_t last = 0;
  uint64_t all = 0;
  const auto append = [&](std::span<const std::byte> more) -> Result<void> {
    bytes.append(reinterpret_cast<const char*>(more.data()), more.size());
    return {};
  };
  const auto progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GE(done, last);
    last = done;
    all = total;
  };
  auto result = quantize_file(file, *find_quantize_target(type), plans, pool, {append, progress});
  if (result.ok()) EXPECT_EQ(last, all);
  return {std::move(bytes), std::move(result)};
}

std::vector<float> values_of(const gguf::TensorView& tensor) {
  std::vector<float> values(tensor.n_elements());
  tensor::dequantize(tensor.dtype, tensor.bytes.data(), values.size(), values.data());
  return values;
}

TEST(QuantizeFile, HoldsTheMetadataAndTheBlocks) {
  Source source = sixteen_layers();
  source.add("blk.0.ffn_up.weight", {512, 600});  // more than one chunk, and not whole ones
  const gguf::File file = source.file();
  for (const char* type : {"Q4_K_M", "Q8_0", "F16", "MXFP4"}) {
    const Written written = write(file, type, 1);
    ASSERT_TRUE(written.result.ok());
    const auto made = gguf::File::parse(as_bytes(written.bytes));
    ASSERT_TRUE(made.ok()) << made.error().message;
    const gguf::Metadata& metadata = made->metadata();
    EXPECT_EQ(*metadata.get_u32("general.file_type"), find_quantize_target(type)->file_type);
    EXPECT_EQ(*metadata.get_f32("llama.rope.freq_base"), 1e6f);
    EXPECT_FALSE(metadata.has("split.count"));
    std::vector<std::string> tokens;
    const auto stored = *metadata.get_strings("tokenizer.ggml.tokens");
    for (const std::string_view token : stored) tokens.emplace_back(token);
    EXPECT_EQ(tokens, (std::vector<std::string>{"a", "", "한"}));
    ASSERT_EQ(made->tensors().size(), file.tensors().size());
    for (const TensorPlan& plan : plan(file, type)) {
      const gguf::TensorView* tensor = made->find_tensor(plan.from.name);
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(tensor->dtype, plan.to) << tensor->name;
      EXPECT_EQ(tensor->dims, plan.from.dims);
      EXPECT_EQ(tensor->n_dims, plan.from.n_dims);
      const std::vector<float> values = values_of(plan.from);
      std::vector<std::byte> blocks(tensor->bytes.size());
      tensor::quantize(plan.to, values.data(), values.size(), blocks.data());
      EXPECT_TRUE(std::ranges::equal(tensor->bytes, blocks)) << type << " " << tensor->name;
    }
  }
}

TEST(QuantizeFile, AnyNumberOfThreadsWritesTheSameBytes) {
  Source source = sixteen_layers();
  source.add("blk.0.ffn_up.weight", {512, 600});
  const gguf::File file = source.file();
  const Written alone = write(file, "Q4_K_M", 1);
  for (const size_t n_threads : {2, 3}) {
    EXPECT_TRUE(write(file, "Q4_K_M", n_threads).bytes == alone.bytes) << n_threads;
  }
}

TEST(QuantizeFile, ValuesThatAreNoWeightsAreNamed) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float value : {std::nanf(""), infinity, -infinity, 1e16f}) {
    Source source("llama");
    source.add("blk.0.attn_q.weight", {256, 4});
    source.poison(3 * 256 * 100 + 256 * 7 + 5, value);
    source.add("blk.1.attn_q.weight", {256, 1000});
    const gguf::File file = source.file();
    const Written written = write(file, "Q8_0", 2);
    ASSERT_FALSE(written.result.ok()) << value;
    EXPECT_EQ(written.result.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(written.result.error().message.find("'blk.1.attn_q.weight'"), std::string::npos);
    EXPECT_NE(written.result.error().message.find("row 307, column 5"), std::string::npos)
        << written.result.error().message;
  }
}

TEST(QuantizeFile, StopsWhereTheSinkFails) {
  Source source = sixteen_layers();
  const gguf::File file = source.file();
  ThreadPool pool(1);
  const auto plans = plan(file, "Q8_0");
  size_t n_writes = 0;
  const auto full = [&](std::span<const std::byte>) -> Result<void> {
    if (++n_writes == 3) return Error::io("the disk is full");
    return {};
  };
  const auto ignore = [](uint64_t, uint64_t) {};
  const auto result =
      quantize_file(file, *find_quantize_target("Q8_0"), plans, pool, {full, ignore});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "the disk is full");
  EXPECT_EQ(n_writes, 3u);
}

}  // namespace
}  // namespace maru::model
