// importer/plan.h - what the new GGUF file will hold: its metadata, and for each tensor where the
// values of every row come from.
//
// planner.h fills it from rules; write_plan() makes the bytes, a slab of rows at a time, so that
// memory does not grow with the model.
// Threads: none; one owner.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"
#include "gguf/writer.h"
#include "importer/weights.h"
#include "tensor/dtype.h"

namespace maru::importer {

// Where a row's values lie: element `first` of the tensor, then every `stride`-th.
struct RowRef {
  const SourceTensor* tensor = nullptr;
  uint64_t first = 0;
  uint64_t stride = 1;
};

// What is done to each value.
enum class Change { kNone, kPlusOne, kMinusExp };

struct NewTensor {
  std::string name = {};
  tensor::DType dtype = tensor::DType::kF32;
  std::vector<uint64_t> dims = {};  // as GGUF stores them: row length first
  std::vector<const SourceTensor*> sources = {};
  // Of the row with this number, over all dimensions but the first.
  std::function<RowRef(uint64_t row)> row = {};
  // Where not empty: column c is value columns[c] of the n_source_cols that row() points at.
  std::vector<uint32_t> columns = {};
  uint64_t n_source_cols = 0;
  Change change = Change::kNone;
  std::vector<float> values = {};  // instead of sources
  // For MXFP4: the source's rows are nibbles, 16 bytes a block, and this holds a scale for each
  // block.
  const SourceTensor* scales = nullptr;

  // The rows are in GGUF's blocks already: `first` counts bytes.
  bool is_raw = false;

  uint64_t n_cols() const { return dims.front(); }
  uint64_t n_rows() const;
  uint64_t n_bytes() const;
};

struct Plan {
  gguf::Writer metadata;
  std::vector<NewTensor> tensors;
  std::vector<std::string> notes;  // what was left out, and why
};

struct PlanSink {
  // Bytes to be appended to the file.
  FunctionRef<Result<void>(std::span<const std::byte>)> write;
  // After each slab: bytes done, out of those of all tensors.
  FunctionRef<void(uint64_t done, uint64_t total)> progress;
};

// The size of the file without its header.
uint64_t plan_bytes(const Plan& plan);

// Errors: those of the sink; kCorrupt where a source is too small for what is asked of it.
Result<void> write_plan(const Plan& plan, const Weights& weights, const PlanSink& sink);

}  // namespace maru::importer
