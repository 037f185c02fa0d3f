// gguf/writer.h - builds a GGUF file (version 3, little endian): whole in memory, or its header for
// a caller that writes large tensors behind it.
//
// Used by tests, fuzz loops, imports and `maru quantize`. What it writes, gguf::File reads.
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
  void set_bools(std::string_view key, const std::vector<bool>& values);
  void set_strings(std::string_view key, std::span<const std::string> values);

  // An entry of another file, as it is stored there.
  void copy(const Entry& entry);

  // A tensor that the caller writes. Gives the size of its bytes.
  // Requires: dims in ggml's order (row length first), at most 4, whole blocks in a row.
  uint64_t declare_tensor(std::string_view name, tensor::DType dtype,
                          std::span<const uint64_t> dims);
  // Zeros that follow the n_bytes of every tensor (the last one too).
  static size_t padding_after(uint64_t n_bytes);
  // Everything before the first tensor's bytes. The declared tensors follow in order, each padded.
  std::string header() const;

  // Requires: dims in ggml's order (row length first), at most 4; data of the size they say.
  void add_tensor(std::string_view name, tensor::DType dtype, std::span<const uint64_t> dims,
                  std::span<const std::byte> data);

  // The whole file. Requires: every tensor was added, none only declared.
  std::string finish() const;

 private:
  void begin_value(std::string_view key, ValueType type);
  void begin_array(std::string_view key, ValueType type, size_t count);

  size_t n_entries_ = 0;
  size_t n_tensors_ = 0;
  std::string entries_;      // encoded
  std::string infos_;        // encoded
  uint64_t data_bytes_ = 0;  // of the tensors so far, padded
  std::string data_;         // of the added ones; padded to the alignment after each
};

}  // namespace maru::gguf
