// tensor/dequantize.h - a row of any quantized type as float32, exactly as the format defines it.
//
// Called by `maru dequantize`, by the fallback of matrices without a kernel, by embedding lookups,
// and by tests as the truth about a format. Source: docs/formats/quants.md. Threads: any.
#pragma once
#include <cstddef>

#include "tensor/dtype.h"

namespace maru::tensor {

// Whether dequantize() knows the type: every type that holds weights, so not the integer types,
// F64, Q8_1 and Q8_K.
bool can_dequantize(DType dtype);

// Shapes: blocks is n_elements / block_elements blocks, one after another; out [n_elements].
// Requires: can_dequantize(dtype); n_elements is a multiple of the type's block_elements.
void dequantize(DType dtype, const std::byte* blocks, size_t n_elements, float* out);

}  // namespace maru::tensor
