// importer/safetensors.h - a safetensors file, mapped and checked: names, types, shapes, bytes.
//
// weights.cc opens one for each part of a model. After open() every tensor lies inside the file,
// has exactly the bytes that its type and shape ask for, and shares none with another. Source: the
// safetensors format, README of huggingface/safetensors, section "Format". Threads: immutable once
// open; any thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace maru::importer {

inline constexpr size_t kHeaderBytesMax = 16 << 20;  // a shard of 20,000 tensors has 2 MB
inline constexpr size_t kSourceTensorsMax = 1 << 18;
inline constexpr size_t kSourceDimsMax = 8;
inline constexpr size_t kSourceNameBytesMax = 512;

enum class SourceType : uint8_t { kF64, kF32, kF16, kBF16, kF8, kI64, kI32, kI16, kI8, kU8, kBool };

// As safetensors spells it.
std::string_view source_type_name(SourceType type);

struct SourceTensor {
  std::string name;
  SourceType type = SourceType::kF32;
  std::vector<size_t> shape;  // slowest first; empty for a single value
  std::span<const std::byte> bytes;

  size_t n_elements() const;
  // The length of a row, fastest in memory; 1 for a single value.
  size_t n_cols() const { return shape.empty() ? 1 : shape.back(); }
  size_t n_rows() const { return n_cols() == 0 ? 0 : n_elements() / n_cols(); }
  std::string shape_text() const;  // "[4, 64]"
};

// A mapped file and the tensors in it.
class SourceFile {
 public:
  // Requires: the bytes of `tensors` are those of `mapping`.
  SourceFile(MappedFile mapping, std::vector<SourceTensor> tensors)
      : mapping_(std::move(mapping)), tensors_(std::move(tensors)) {}
  // Over bytes that outlive it: tests and fuzz loops.
  explicit SourceFile(std::vector<SourceTensor> tensors) : tensors_(std::move(tensors)) {}

  std::span<const SourceTensor> tensors() const { return tensors_; }
  // Tells the system that the bytes of a tensor of this file were read and need not stay in memory.
  void drop(std::span<const std::byte> bytes) const;

 private:
  std::optional<MappedFile> mapping_;
  std::vector<SourceTensor> tensors_;
};

// The tensors of a safetensors file, in the order of their bytes.
// Errors: kNotFound, kIo; kCorrupt says what does not fit; kUnsupported names a type nobody knows.
Result<std::vector<SourceTensor>> parse_safetensors(std::span<const std::byte> bytes);
Result<SourceFile> open_safetensors(const std::filesystem::path& path);

}  // namespace maru::importer
