// tensor/dtype.h - the element types that a GGUF file can hold: their numbers, names, and block
// sizes.
//
// A quantized row is a sequence of blocks; block_elements values take block_bytes bytes.
// Source: the GGUF specification's list of ggml types; sizes checked against tests/data/quants.
// Threads: constant tables.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace maru::tensor {

// The values are those stored in GGUF files.
enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as in fixtures: "Q4_K"
  size_t block_elements;
  size_t block_bytes;
};

// All of them.
std::span<const DTypeInfo> dtype_infos();
// nullopt for a number that no GGUF type has (or one that was removed from the format).
std::optional<DTypeInfo> dtype_info(uint32_t gguf_number);
// Requires: dtype is one of the enumerators.
const DTypeInfo& dtype_info(DType dtype);
// Case does not matter.
std::optional<DType> dtype_from_name(std::string_view name);

}  // namespace maru::tensor
