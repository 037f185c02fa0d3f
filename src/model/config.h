// model/config.h - a family's view of a GGUF file: its own metadata keys with the architecture's
// prefix and limits applied, and small float tensors.
//
// Used by the family files and the weight loader, at load time only. It must not know what the
// values mean. Threads: immutable.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gguf/file.h"

namespace maru::model {

// No count in a model's metadata (layers, heads, dimensions, context) is larger.
inline constexpr size_t kCountMax = size_t{1} << 27;

// Errors of all: kCorrupt names the key or tensor, what was expected and what was found.
class Config {
 public:
  // n_ctx: the longest sequence that is wanted of the model; 0 = what it was made for.
  Config(const gguf::File& file, std::string architecture, size_t n_ctx = 0)
      : file_(file), architecture_(std::move(architecture)), n_ctx_(n_ctx) {}

  const gguf::File& file() const { return file_; }
  const std::string& architecture() const { return architecture_; }
  size_t n_ctx() const { return n_ctx_; }
  bool has(std::string_view key) const { return file_.metadata().has(full(key)); }

  // Keys are without the architecture: "attention.head_count".
  Result<size_t> count(std::string_view key) const;
  Result<size_t> count_or(std::string_view key, size_t fallback) const;
  // One number, or one per layer.
  Result<std::vector<size_t>> counts(std::string_view key, size_t n_layer) const;
  Result<std::vector<bool>> flags(std::string_view key, size_t n_layer) const;
  Result<float> number(std::string_view key) const;
  Result<float> number_or(std::string_view key, float fallback) const;
  Result<bool> flag_or(std::string_view key, bool fallback) const;
  Result<std::string> text_or(std::string_view key, std::string_view fallback) const;

  // A float tensor of n values (its dimensions may be split in any way).
  Result<std::vector<float>> vector(std::string_view tensor, size_t n) const;
  // Empty where there is no such tensor.
  Result<std::vector<float>> optional_vector(std::string_view tensor, size_t n) const;

 private:
  std::string full(std::string_view key) const;

  const gguf::File& file_;
  std::string architecture_;
  size_t n_ctx_;
};

}  // namespace maru::model
