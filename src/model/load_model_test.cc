// load_model() on files that are wrong: each error says which key or tensor, what was expected and
// what was found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "gguf/file.h"
#include "gguf/writer.h"
#include "model/model.h"

namespace maru::model {
namespace {

using ::testing::HasSubstr;

// A llama of one layer: d_model 32, 2 heads of 16, 1 KV head, d_ff 48, 10 words. Each tensor and
// key can be left out or replaced before the file is built.
struct TinyFile {
  std::string architecture = "llama";
  std::string left_out = {};
  size_t d_ff = 48;
  size_t n_head_kv = 1;
  tensor::DType q_type = tensor::DType::kF32;
  uint64_t q_rows = 32;

  std::string build() const {
    gguf::Writer writer;
    writer.set_string("general.architecture", architecture);
    const auto key = [&](const std::string& name, uint32_t value) {
      if (name != left_out) writer.set_u32(architecture + "." + name, value);
    };
    key("block_count", 1);
    key("context_length", 128);
    key("embedding_length", 32);
    key("feed_forward_length", static_cast<uint32_t>(d_ff));
    key("attention.head_count", 2);
    key("attention.head_count_kv", static_cast<uint32_t>(n_head_kv));
    writer.set_f32(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
    const auto add = [&](const std::string& name, uint64_t rows, uint64_t cols,
                         tensor::DType type = tensor::DType::kF32) {
      if (name == left_out) return;
      const tensor::DTypeInfo& info = tensor::dtype_info(type);
      const std::vector<std::byte> data(rows * cols / info.block_elements * info.block_bytes);
      const uint64_t dims[] = {cols, rows};
      writer.add_tensor(name, type, std::span(dims).first(rows == 1 ? 1 : 2), data);
    };
    add("token_embd.weight", 10, 32);
    add("output_norm.weight", 1, 32);
    add("blk.0.attn_norm.weight", 1, 32);
    add("blk.0.ffn_norm.weight", 1, 32);
    add("blk.0.attn_q.weight", q_rows, 32, q_type);
    add("blk.0.attn_k.weight", 16, 32);
    add("blk.0.attn_v.weight", 16, 32);
    add("blk.0.attn_output.weight", 32, 32);
    add("blk.0.ffn_gate.weight", 48, 32);
    add("blk.0.ffn_up.weight", 48, 32);
    add("blk.0.ffn_down.weight", 32, 48);
    return writer.finish();
  }
};

Result<ModelInfo> load(const TinyFile& tiny) {
  const std::string bytes = tiny.build();
  MARU_TRY(file, gguf::File::parse(std::as_bytes(std::span(bytes))));
  ThreadPool pool(1);
  MARU_TRY(model, load_model(file, {&pool, kernels::available_kernels().front()}));
  return model->info();
}

void expect_error(const TinyFile& tiny, ErrorCode code, const std::string& text) {
  const auto result = load(tiny);
  ASSERT_FALSE(result.ok()) << "expected: " << text;
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_THAT(result.error().message, HasSubstr(text));
}

TEST(LoadModel, DescribesWhatItLoaded) {
  const auto info = load({});
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->architecture, "llama");
  EXPECT_EQ(info->n_layer, 1u);
  EXPECT_EQ(info->n_vocab, 10u);
  EXPECT_EQ(info->n_ctx_train, 128u);
  // q, k, v, output; gate, up, down; the tied embeddings once.
  EXPECT_EQ(info->n_params, 32u * (32 + 16 + 16 + 32) + 3 * 48 * 32 + 10 * 32);
  EXPECT_EQ(info->kv_block_bytes, 2u * 64 * (16 + 16));
}

TEST(LoadModel, NamesWhatIsUnknown) {
  expect_error({.architecture = "llamma"}, ErrorCode::kUnsupported, "'llamma' is not known");
  expect_error({.architecture = "llamma"}, ErrorCode::kUnsupported, "qwen2, ");
  expect_error({.q_type = tensor::DType::kI8}, ErrorCode::kUnsupported,
               "'blk.0.attn_q.weight' has type I8");
}

TEST(LoadModel, NamesWhatIsMissingOrWrong) {
  expect_error({.left_out = "blk.0.ffn_up.weight"}, ErrorCode::kCorrupt, "blk.0.ffn_up.weight");
  expect_error({.left_out = "block_count"}, ErrorCode::kCorrupt, "llama.block_count");
  expect_error({.q_rows = 48}, ErrorCode::kCorrupt,
               "'blk.0.attn_q.weight' is [48, 32], expected [32, 32]");
  expect_error({.d_ff = 64}, ErrorCode::kCorrupt,
               "'blk.0.ffn_gate.weight' is [48, 32], expected [64, 32]");
  expect_error({.d_ff = 0}, ErrorCode::kCorrupt, "feed_forward_length");
  expect_error({.n_head_kv = 3}, ErrorCode::kCorrupt, "do not divide among 3 KV heads");
  expect_error({.n_head_kv = 0}, ErrorCode::kCorrupt, "do not divide among 0 KV heads");
}

}  // namespace
}  // namespace maru::model
