// model/quantize_plan.h - which tensor of a model gets which type when the model is quantized.
//
// Called by quantize_file.cc. The mixes are those that users of llama.cpp know by these names:
// docs/performance/quantize.md lists them. It must not know values.
// Threads: constant tables; plan_quantization() is a pure function.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gguf/file.h"
#include "tensor/dtype.h"

namespace maru::model {

enum class Mix { kPlain, kQ4_K_M, kQ5_K_M, kMXFP4 };

struct QuantizeTarget {
  std::string_view name;  // "Q4_K_M"
  Mix mix;
  tensor::DType dtype;  // of most matrices
  uint32_t file_type;   // general.file_type of GGUF
};

std::span<const QuantizeTarget> quantize_targets();
// nullptr for another name. Case does not matter.
const QuantizeTarget* find_quantize_target(std::string_view name);

struct TensorPlan {
  gguf::TensorView from;
  tensor::DType to;
  // What it should have been, where its rows are no multiple of that type's blocks.
  std::optional<tensor::DType> wanted;
};

struct PlanOptions {
  bool requantize = false;  // take tensors that are quantized already
};

// In file order. Errors: kUnsupported for a tensor that is quantized already, or of a type that
// holds no weights; kCorrupt.
Result<std::vector<TensorPlan>> plan_quantization(const gguf::File& file,
                                                  const QuantizeTarget& target,
                                                  const PlanOptions& options);

}  // namespace maru::model
