// gguf/writer.h - builds a GGUF file (version 3, little endian) in memory.
//
// Used by tests, fuzz loops and conversions of small files. What it writes, gguf::File reads.
// Source: the GGUF specification (ggml, docs/gguf.md).
// Threads: none; one Writer belongs to one owner.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/metadata.h"
#include "tensor/dtype.h"

namespace maru::gguf {

class Writer {
 public:
  void set_u32(std::string_view key, uint32_t value);
  void set_u64(std::string_view key, uint64_t value);
  void set_i32(std::string_view key, int32_t value);
  void set_f32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_u8s(std::string_view key, std::span<const uint8_t> values);
  void set_i32s(std::string_view key, std::span<const int32_t> values);
  void set_f32s(std::string_view key, std::span<const float> values);
  void set_strings(std::string_view key, std::span<const std::string> values);

  // Requires: dims in ggml's order (row length first), at most 4; data of the size they say.
  void add_tensor(std::string_view name, tensor::DType dtype, std::span<const uint64_t> dims,
                  std::span<const std::byte> data);

  // The whole file.
  std::string finish() const;

 private:
  void begin_value(std::string_view key, ValueType type);
  void begin_array(std::string_view key, ValueType type, size_t count);

  size_t n_entries_ = 0;
  size_t n_tensors_ = 0;
  std::string entries_;  // encoded
  std::string infos_;    // encoded
  std::string data_;     // padded to the alignment after each tensor
};

}  // namespace maru::gguf
