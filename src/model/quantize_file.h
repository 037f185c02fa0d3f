// model/quantize_file.h - writes a model again with other tensor types, a slab at a time.
//
// `maru quantize` calls it, in a process of its own that can write to one file. Memory does not
// grow with the model: one slab of float32 a thread and one slab of blocks. Threads: called by one;
// the pool's threads make the blocks. The bytes written do not depend on how many there are.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "model/quantize_plan.h"

namespace maru::model {

// Values that one thread turns into blocks at a time: a multiple of every type's block.
inline constexpr size_t kQuantizeChunk = 1 << 14;
// Chunks between two writes; 16 MiB of F32 at most.
inline constexpr size_t kQuantizeSlabChunks = 256;

struct QuantizeSink {
  // Bytes to be appended to the file.
  FunctionRef<Result<void>(std::span<const std::byte>)> write;
  // After each slab: values done, out of those of all tensors.
  FunctionRef<void(uint64_t done, uint64_t total)> progress;
};

// The size of the file that quantize_file() writes, without its header.
uint64_t quantized_bytes(std::span<const TensorPlan> plans);

// Writes header, metadata (as in `file`, with the new file type and without the keys of a split)
// and tensors.
// Errors: those of the sink; kCorrupt names a tensor with a value that is no finite number or is
// above tensor::kQuantizeMagnitudeMax.
Result<void> quantize_file(const gguf::File& file, const QuantizeTarget& target,
                           std::span<const TensorPlan> plans, ThreadPool& pool,
                           const QuantizeSink& sink);

}  // namespace maru::model
