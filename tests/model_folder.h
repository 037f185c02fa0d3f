// model_folder.h - a folder as model hubs have it, for tests of the importer: a tiny Llama by
// default.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "safetensors_writer.h"

namespace maru::testing_support {

class ModelFolder {
 public:
  ModelFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("maru_model_folder_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directory(path_);
  }
  ~ModelFolder() { std::filesystem::remove_all(path_); }
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  void write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    // A new file: ext4 brings one that is overwritten to the disk, which loops would wait for.
    std::filesystem::remove(path_ / name);
    std::ofstream(path_ / name, std::ios::binary) << content;
  }
  void write_json(const std::string& name, const nlohmann::ordered_json& value) const {
    write(name, value.dump());
  }

 private:
  std::filesystem::path path_;
};

// n values from `first` on, one apart.
inline std::vector<float> counting(size_t n, float first) {
  std::vector<float> values;
  for (size_t i = 0; i < n; ++i) values.push_back(first + static_cast<float>(i));
  return values;
}

// One layer, two heads of four values.
inline nlohmann::ordered_json tiny_config() {
  return {{"model_type", "llama"},      {"hidden_size", 8},       {"num_hidden_layers", 1},
          {"num_attention_heads", 2},   {"intermediate_size", 4}, {"max_position_embeddings", 16},
          {"rms_norm_eps", 1e-5},       {"rope_theta", 10000.0},  {"vocab_size", 5},
          {"tie_word_embeddings", true}};
}

// Byte-level, of three pieces and a control token; the fifth row of the embeddings is unused.
inline nlohmann::ordered_json tiny_tokenizer() {
  using Json = nlohmann::ordered_json;
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  return {{"added_tokens", Json::array({{{"id", 3}, {"content", "<s>"}, {"special", true}}})},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"model",
           {{"type", "BPE"},
            {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}},
            {"merges", Json::array({"a b"})}}}};
}

inline SafetensorsWriter tiny_weights() {
  SafetensorsWriter writer;
  const std::string layer = "model.layers.0.";
  writer.add_f32("model.embed_tokens.weight", {5, 8}, counting(40, 0));
  writer.add_f32("model.norm.weight", {8}, counting(8, 0));
  writer.add_f32(layer + "input_layernorm.weight", {8}, counting(8, 0));
  writer.add_f32(layer + "post_attention_layernorm.weight", {8}, counting(8, 0));
  for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
    writer.add_f32(layer + "self_attn." + name + ".weight", {8, 8}, counting(64, 0));
  }
  writer.add_f32(layer + "mlp.gate_proj.weight", {4, 8}, counting(32, 0));
  writer.add_f32(layer + "mlp.up_proj.weight", {4, 8}, counting(32, 0));
  writer.add_f32(layer + "mlp.down_proj.weight", {8, 4}, counting(32, 0));
  return writer;
}

inline void write_tiny_model(const ModelFolder& folder) {
  folder.write_json("config.json", tiny_config());
  folder.write_json("tokenizer.json", tiny_tokenizer());
  folder.write("model.safetensors", tiny_weights().finish());
}

}  // namespace maru::testing_support
