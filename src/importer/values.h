// importer/values.h - numbers of a source tensor as float32, and float32 as what GGUF stores.
//
// plan.cc calls it. Threads: pure functions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "importer/safetensors.h"
#include "tensor/dtype.h"

namespace maru::importer {

// Whether decode_values() reads it.
bool can_decode(SourceType type);
// Whether a value of `from` is stored as the same bytes in `to`.
bool holds_exactly(SourceType from, tensor::DType to);
// The type that keeps a source's values as they are; nullopt for one that GGUF's weights have not.
std::optional<tensor::DType> kept_type(SourceType type);

// Requires: can_decode(tensor.type); first + (out.size() - 1) * stride lies inside.
void decode_values(const SourceTensor& tensor, uint64_t first, uint64_t stride,
                   std::span<float> out);
// Requires: dtype is F32, F16 or BF16. Rounds to the nearest, ties to even.
void encode_values(tensor::DType dtype, const float* values, size_t n, std::byte* out);

}  // namespace maru::importer
