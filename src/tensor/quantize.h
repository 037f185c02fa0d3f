// tensor/quantize.h - float32 values as blocks of a GGUF type: the other way of dequantize.h.
//
// Called by `maru quantize`. The blocks are what dequantize() and the kernels read; nothing here
// knows a model or a file. Every encoder searches for the scales with the smallest squared error
// after the stored scales are rounded, so the result depends on the values alone.
// Source: the blocks are docs/formats/quants.md; the searches are named where they are.
// Threads: any.
#pragma once
#include <cstddef>

#include "tensor/dtype.h"

namespace maru::tensor {

// Larger values are no weights, and their squares would leave float32.
inline constexpr float kQuantizeMagnitudeMax = 1e15f;

// F32, F16, BF16, Q4_0, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K and MXFP4.
bool can_quantize(DType dtype);

// Shapes: values [n_elements]; blocks is n_elements / block_elements blocks, one after another.
// Requires: can_quantize(dtype); n_elements is a multiple of the type's block_elements; no value
// is above kQuantizeMagnitudeMax or NaN (F32, F16, BF16: any finite ones). What F16 or a float16
// scale cannot hold becomes its largest finite value.
void quantize(DType dtype, const float* values, size_t n_elements, std::byte* blocks);

}  // namespace maru::tensor
