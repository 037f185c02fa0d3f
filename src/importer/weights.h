// importer/weights.h - all tensors of a model folder, whether in one safetensors file or in parts.
//
// plan.h's tensors point into it. Which tensors were used is kept here, so that what is left over
// can be named. Threads: one owner; the tensors may be read from any.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "importer/safetensors.h"

namespace maru::importer {

inline constexpr size_t kPartsMax = 1024;
inline constexpr size_t kIndexBytesMax = 32 << 20;

class Weights {
 public:
  // Reads model.safetensors, or the parts that model.safetensors.index.json names.
  // Errors: kNotFound names the missing file; kCorrupt for an index that does not fit its parts.
  static Result<Weights> open_folder(const std::filesystem::path& folder);
  static Result<Weights> open_file(const std::filesystem::path& file);
  // Over the bytes of one file, which outlive it: tests and fuzz loops.
  static Result<Weights> parse(std::span<const std::byte> bytes);

  // Errors: kCorrupt where a name is there already.
  Result<void> add_part(SourceFile part, const std::string& name);

  // nullptr where there is none. Counts as used.
  const SourceTensor* take(std::string_view name);
  bool has(std::string_view name) const { return find(name) != nullptr; }
  const SourceTensor* find(std::string_view name) const;
  // In the order of the files.
  std::vector<const SourceTensor*> unused() const;
  size_t size() const { return by_name_.size(); }

  void drop(const SourceTensor& tensor) const;

 private:
  struct Place {
    const SourceTensor* tensor = nullptr;
    size_t part = 0;
    bool used = false;
  };

  std::vector<SourceFile> parts_;
  std::unordered_map<std::string_view, Place> by_name_;
};

}  // namespace maru::importer
