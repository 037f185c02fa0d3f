#include "importer/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "gguf/file.h"
#include "model_folder.h"
#include "tensor/dequantize.h"

namespace maru::importer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::counting;
using testing_support::ModelFolder;
using testing_support::SafetensorsWriter;
using testing_support::tiny_config;
using testing_support::write_tiny_model;

// The whole new file.
Result<std::string> imported(const ModelFolder& folder, const ImportOptions& options = {}) {
  MARU_TRY(import, plan_import(folder.path(), options));
  std::string file;
  const auto write = [&](std::span<const std::byte> bytes) -> Result<void> {
    file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  const auto progress = [](uint64_t done, uint64_t total) { EXPECT_LE(done, total); };
  MARU_TRY_VOID(write_plan(import.plan, import.weights, {write, progress}));
  return file;
}

std::string refusal(const ModelFolder& folder, const ImportOptions& options = {}) {
  const auto file = imported(folder, options);
  return file.ok() ? "it was taken" : file.error().message;
}

std::vector<float> values_of(const gguf::File& file, std::string_view name) {
  const auto* tensor = file.find_tensor(name);
  if (tensor == nullptr) return {};
  std::vector<float> values(tensor->n_elements());
  tensor::dequantize(tensor->dtype, tensor->bytes.data(), values.size(), values.data());
  return values;
}

struct Opened {
  std::string bytes;
  std::optional<gguf::File> file;
};

// Writes the folder's model again as GGUF and opens that.
void open_imported(const ModelFolder& folder, Opened& opened, const ImportOptions& options = {}) {
  auto bytes = imported(folder, options);
  ASSERT_TRUE(bytes.ok()) << bytes.error().message;
  opened.bytes = std::move(bytes).value();
  auto file = gguf::File::parse(std::as_bytes(std::span(opened.bytes)));
  ASSERT_TRUE(file.ok()) << file.error().message;
  opened.file = std::move(file).value();
}

TEST(Import, ALlamaGetsItsMetadataAndItsRowsInPairs) {
  const ModelFolder folder;
  write_tiny_model(folder);
  Opened opened;
  ASSERT_NO_FATAL_FAILURE(open_imported(folder, opened));
  const gguf::Metadata& metadata = opened.file->metadata();
  EXPECT_EQ(*metadata.get_string("general.architecture"), "llama");
  EXPECT_EQ(*metadata.get_u32("llama.block_count"), 1u);
  EXPECT_EQ(*metadata.get_u32("llama.attention.head_count_kv"), 2u);
  EXPECT_EQ(*metadata.get_u32("llama.rope.dimension_count"), 4u);
  EXPECT_EQ(*metadata.get_u32("general.file_type"), 0u);
  // Of each head's four rows, the first and the third turn together.
  const std::vector<float> q = values_of(*opened.file, "blk.0.attn_q.weight");
  std::vector<float> first_of_row;
  for (size_t row = 0; row < 8; ++row) first_of_row.push_back(q[row * 8] / 8);
  EXPECT_THAT(first_of_row, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_EQ(values_of(*opened.file, "blk.0.attn_v.weight"), counting(64, 0));
  EXPECT_EQ(values_of(*opened.file, "blk.0.attn_norm.weight"), counting(8, 0));
}

TEST(Import, LargeTensorsTakeTheTypeThatIsAskedFor) {
  const ModelFolder folder;
  write_tiny_model(folder);
  Opened opened;
  ASSERT_NO_FATAL_FAILURE(open_imported(folder, opened, {tensor::DType::kF16, ""}));
  EXPECT_EQ(opened.file->find_tensor("blk.0.attn_v.weight")->dtype, tensor::DType::kF16);
  EXPECT_EQ(opened.file->find_tensor("blk.0.attn_norm.weight")->dtype, tensor::DType::kF32);
  EXPECT_EQ(values_of(*opened.file, "blk.0.attn_v.weight"), counting(64, 0));
  EXPECT_FALSE(import_type("Q4_K").ok());
}

TEST(Import, ExpertsBecomeOneTensor) {
  const ModelFolder folder;
  write_tiny_model(folder);
  auto config = tiny_config();
  config["model_type"] = "mixtral";
  config["num_local_experts"] = 2;
  config["num_experts_per_tok"] = 1;
  folder.write_json("config.json", config);
  SafetensorsWriter writer;
  const std::string moe = "model.layers.0.block_sparse_moe.";
  writer.add_f32("model.embed_tokens.weight", {5, 8}, counting(40, 0));
  writer.add_f32("model.norm.weight", {8}, counting(8, 0));
  writer.add_f32("model.layers.0.input_layernorm.weight", {8}, counting(8, 0));
  writer.add_f32("model.layers.0.post_attention_layernorm.weight", {8}, counting(8, 0));
  for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
    writer.add_f32(std::string("model.layers.0.self_attn.") + name + ".weight", {8, 8},
                   counting(64, 0));
  }
  writer.add_f32(moe + "gate.weight", {2, 8}, counting(16, 0));
  for (const char* expert : {"0", "1"}) {
    const float first = 100.0f * (expert[0] - '0');
    writer.add_f32(moe + "experts." + expert + ".w1.weight", {4, 8}, counting(32, first));
    writer.add_f32(moe + "experts." + expert + ".w3.weight", {4, 8}, counting(32, first + 40));
    writer.add_f32(moe + "experts." + expert + ".w2.weight", {8, 4}, counting(32, first));
  }
  folder.write("model.safetensors", writer.finish());
  Opened opened;
  ASSERT_NO_FATAL_FAILURE(open_imported(folder, opened));
  const auto* up = opened.file->find_tensor("blk.0.ffn_up_exps.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_THAT(up->dims, ElementsAre(8, 4, 2, 1));
  std::vector<float> both = counting(32, 40);
  for (const float value : counting(32, 140)) both.push_back(value);
  EXPECT_EQ(values_of(*opened.file, "blk.0.ffn_up_exps.weight"), both);
}

TEST(Import, SaysWhatTheModelLacksAndWhatItHasTooMuch) {
  const ModelFolder folder;
  write_tiny_model(folder);
  auto config = tiny_config();
  config["num_hidden_layers"] = 2;
  folder.write_json("config.json", config);
  EXPECT_THAT(refusal(folder),
              HasSubstr("lacks 9 tensors: 'model.layers.1.input_layernorm.weight'"));
  folder.write_json("config.json", tiny_config());
  auto weights = testing_support::tiny_weights();
  weights.add_f32("model.layers.0.magic.weight", {1}, {1});
  folder.write("model.safetensors", weights.finish());
  EXPECT_THAT(refusal(folder), HasSubstr("does not know: 'model.layers.0.magic.weight'"));
}

TEST(Import, RefusesConfigurationsThatMakeNoSense) {
  const ModelFolder folder;
  write_tiny_model(folder);
  const auto with = [&](const char* key, const nlohmann::ordered_json& value) {
    auto config = tiny_config();
    config[key] = value;
    folder.write_json("config.json", config);
    return refusal(folder);
  };
  EXPECT_THAT(with("model_type", "abacus"), HasSubstr("'abacus' is not known; accepted:"));
  EXPECT_THAT(with("num_hidden_layers", 0), HasSubstr("0 layers"));
  EXPECT_THAT(with("num_hidden_layers", 1 << 30), HasSubstr("1 to 1024"));
  EXPECT_THAT(with("num_attention_heads", -1), HasSubstr("num_attention_heads"));
  EXPECT_THAT(with("num_attention_heads", 0), HasSubstr("attention heads"));
  EXPECT_THAT(with("num_attention_heads", 3), HasSubstr("does not divide among 3 heads"));
  EXPECT_THAT(with("hidden_size", "8"), HasSubstr("hidden_size"));
  EXPECT_THAT(with("rms_norm_eps", "x"), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(with("rope_scaling", {{"rope_type", "spiral"}}), HasSubstr("spiral"));
  EXPECT_THAT(with("head_dim", 1 << 30), HasSubstr("rope over"));
}

TEST(Import, FloatsThatNoWeightsAreReadAsAreNamed) {
  const ModelFolder folder;
  write_tiny_model(folder);
  auto weights = testing_support::tiny_weights();
  std::string file = weights.finish();
  const size_t at = file.find("\"F32\"");
  file.replace(at, 5, "\"I32\"");
  folder.write("model.safetensors", file);
  EXPECT_THAT(refusal(folder), HasSubstr("has type I32"));
}

TEST(Import, NumbersThatJsonDoesNotHaveAreNoObstacle) {
  const ModelFolder folder;
  write_tiny_model(folder);
  std::string config = tiny_config().dump();
  config.replace(config.rfind('}'), 1, R"(,"limit":[0.0,Infinity,-Infinity,NaN],"a":"NaN\""})");
  folder.write("config.json", config);
  EXPECT_EQ(refusal(folder), "it was taken");
}

TEST(Import, PoolingIsThatOfTheModules) {
  const ModelFolder folder;
  write_tiny_model(folder);
  folder.write_json("modules.json", {{{"type", "x.models.Transformer"}, {"path", ""}},
                                     {{"type", "x.models.Pooling"}, {"path", "1_Pooling"}}});
  folder.write_json("1_Pooling/config.json",
                    {{"pooling_mode_cls_token", false}, {"pooling_mode_lasttoken", true}});
  Opened opened;
  ASSERT_NO_FATAL_FAILURE(open_imported(folder, opened));
  EXPECT_EQ(*opened.file->metadata().get_u32("llama.pooling_type"), 3u);
  folder.write_json("1_Pooling/config.json", {{"pooling_mode_max_tokens", true}});
  EXPECT_THAT(refusal(folder), HasSubstr("none of mean, cls and lasttoken"));
  folder.write_json("modules.json", {{{"type", "x.models.Pooling"}, {"path", "../x"}}});
  EXPECT_THAT(refusal(folder), HasSubstr("../x"));
}

TEST(Import, PartsOfAModelAreCheckedAgainstTheirIndex) {
  const ModelFolder folder;
  write_tiny_model(folder);
  const auto with_index = [&](const nlohmann::ordered_json& map) {
    folder.write_json("model.safetensors.index.json", {{"weight_map", map}});
    return refusal(folder);
  };
  EXPECT_EQ(with_index({{"model.norm.weight", "model.safetensors"}}), "it was taken");
  EXPECT_THAT(with_index({{"x", "model.safetensors"}}), HasSubstr("does not hold it"));
  EXPECT_THAT(with_index({{"x", "part-2.safetensors"}}), HasSubstr("part-2.safetensors"));
  EXPECT_THAT(with_index({{"x", "../model.safetensors"}}), HasSubstr("no file of its folder"));
  EXPECT_THAT(with_index({{"x", 1}}), HasSubstr("no file of its folder"));
  EXPECT_THAT(with_index(1), HasSubstr("no object weight_map"));
}

}  // namespace
}  // namespace maru::importer
