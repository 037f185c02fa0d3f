#include "model/quantize_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string>

#include "tensor/dequantize.h"

namespace maru::model {
namespace {

using tensor::DType;

constexpr QuantizeTarget kTargets[] = {
    {"Q4_0", Mix::kPlain, DType::kQ4_0, 2},     {"Q4_K_M", Mix::kQ4_K_M, DType::kQ4_K, 15},
    {"Q5_K_M", Mix::kQ5_K_M, DType::kQ5_K, 17}, {"Q6_K", Mix::kPlain, DType::kQ6_K, 18},
    {"Q8_0", Mix::kPlain, DType::kQ8_0, 7},     {"MXFP4", Mix::kMXFP4, DType::kMXFP4, 38},
    {"F16", Mix::kPlain, DType::kF16, 1},       {"BF16", Mix::kPlain, DType::kBF16, 32},
    {"F32", Mix::kPlain, DType::kF32, 0},
};

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool contains(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

// Matrices that are small and steer much: they keep their floats.
constexpr std::string_view kKept[] = {
    "_norm.weight", "ffn_gate_inp",          "position_embd.weight", "token_types.weight",
    "ssm_conv1d",   "shortconv.conv.weight", "attn_rel_b.weight",    "altup",
    "laurel",       "per_layer_model_proj"};

bool is_quantizable(const gguf::TensorView& tensor) {
  const auto is_part = [&](std::string_view part) { return contains(tensor.name, part); };
  return tensor.n_dims >= 2 && tensor.name.ends_with("weight") &&
         std::ranges::none_of(kKept, is_part);
}

// attn_v, or the matrix that it is a part of.
bool holds_attention_values(std::string_view name) {
  return contains(name, "attn_v.weight") || contains(name, "attn_qkv.weight") ||
         contains(name, "attn_kv_b.weight");
}

// N of "blk.N.", or 0.
size_t layer_of(std::string_view name) {
  size_t layer = 0;
  constexpr std::string_view kPrefix = "blk.";
  if (name.starts_with(kPrefix)) {
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  }
  return layer;
}

// The first and last eighth of the layers, and every third between.
bool gets_more_bits(size_t i, size_t n) {
  return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

// What the choice of types looks at besides a tensor.
struct Model {
  size_t n_layer = 0;
  size_t n_expert = 0;
  bool tied = true;                       // the embeddings are the output matrix too
  bool shares_values = false;             // several query heads to one of keys and values
  std::map<size_t, size_t> value_places;  // layer -> its place among layers with attention values

  static Result<Model> of(const gguf::File& file) {
    const gguf::Metadata& metadata = file.metadata();
    MARU_TRY(architecture, metadata.get_string_or("general.architecture", ""));
    const auto key = [&](std::string_view name) {
      return fmt::format("{}.{}", architecture, name);
    };
    Model model;
    MARU_TRY(n_layer, metadata.get_u32_or(key("block_count"), 0));
    MARU_TRY(n_expert, metadata.get_u32_or(key("expert_count"), 0));
    model.n_layer = n_layer;
    model.n_expert = n_expert;
    model.tied = file.find_tensor("output.weight") == nullptr;
    for (const gguf::TensorView& tensor : file.tensors()) {
      if (holds_attention_values(tensor.name)) model.value_places.emplace(layer_of(tensor.name), 0);
      const bool is_values = contains(tensor.name, "attn_v.weight");
      if (is_values && tensor.n_rows() < tensor.n_cols()) model.shares_values = true;
    }
    size_t place = 0;
    for (auto& [layer, at] : model.value_places) at = place++;
    return model;
  }
};

DType output_type(const QuantizeTarget& target, size_t n_cols) {
  const bool fits = n_cols % tensor::dtype_info(DType::kQ6_K).block_elements == 0;
  const bool stays_q8 = target.dtype == DType::kQ8_0 || target.mix == Mix::kMXFP4;
  return stays_q8 || !fits ? DType::kQ8_0 : DType::kQ6_K;
}

DType attention_values_type(const QuantizeTarget& target, const Model& model,
                            std::string_view name) {
  if (model.n_expert == 8) return DType::kQ8_0;
  const bool is_mix = target.mix == Mix::kQ4_K_M || target.mix == Mix::kQ5_K_M;
  const size_t place = model.value_places.at(layer_of(name));
  if (is_mix && gets_more_bits(place, model.value_places.size())) return DType::kQ6_K;
  // In a 70B model of 80 layers eight query heads share each of these.
  const bool is_70b = model.n_layer == 80 && model.shares_values;
  return is_70b && target.mix == Mix::kQ4_K_M ? DType::kQ5_K : target.dtype;
}

// Before it is known whether the rows fit. Requires: is_quantizable().
DType wanted_type(const QuantizeTarget& target, const Model& model,
                  const gguf::TensorView& tensor) {
  const std::string_view name = tensor.name;
  if (is_float(target.dtype)) return target.dtype;
  const bool is_embedding = name == "token_embd.weight" || name == "per_layer_token_embd.weight";
  if (name == "output.weight" || (model.tied && is_embedding)) {
    return output_type(target, tensor.n_cols());
  }
  if (target.mix == Mix::kMXFP4) {
    // Experts where there are some; otherwise every matrix but the embeddings.
    const bool is_mxfp4 = model.n_expert > 0 ? tensor.dims[2] > 1 : !is_embedding;
    return is_mxfp4 ? DType::kMXFP4 : DType::kQ8_0;
  }
  if (holds_attention_values(name)) return attention_values_type(target, model, name);
  if (model.n_expert == 8 && contains(name, "attn_k.weight")) return DType::kQ8_0;
  const bool is_mix = target.mix == Mix::kQ4_K_M || target.mix == Mix::kQ5_K_M;
  const bool is_down = contains(name, "ffn_down");
  if (is_mix && is_down && gets_more_bits(layer_of(name), model.n_layer)) return DType::kQ6_K;
  const bool is_attention_output = contains(name, "attn_output.weight");
  if (target.mix == Mix::kQ4_K_M && is_attention_output && model.n_expert == 8) {
    return DType::kQ5_K;
  }
  return target.dtype;
}

// The nearest type with smaller blocks.
DType fitting_type(DType wanted, size_t n_cols) {
  const auto fits = [&](DType dtype) {
    return n_cols % tensor::dtype_info(dtype).block_elements == 0;
  };
  if (fits(wanted)) return wanted;
  DType smaller = DType::kF16;
  if (wanted == DType::kQ4_K) smaller = DType::kQ5_0;
  if (wanted == DType::kQ5_K) smaller = DType::kQ5_1;
  if (wanted == DType::kQ6_K) smaller = DType::kQ8_0;
  return fits(smaller) ? smaller : DType::kF16;
}

Result<TensorPlan> plan_tensor(const gguf::TensorView& tensor, const QuantizeTarget& target,
                               const Model& model, const PlanOptions& options) {
  const std::string_view type = tensor::dtype_info(tensor.dtype).name;
  // Integers (routing tables and the like) are no weights.
  if (!tensor::can_dequantize(tensor.dtype)) return TensorPlan{tensor, tensor.dtype, {}};
  if (!is_float(tensor.dtype) && !options.requantize) {
    return Error::unsupported(fmt::format(
        "tensor '{}' is quantized already ({}), and quantizing twice loses more than once: take "
        "the F16, BF16 or F32 file of this model, or say --requantize",
        tensor.name, type));
  }
  if (!is_quantizable(tensor)) {
    // Vectors are F32 for every engine; F16 or BF16 ones become that without loss.
    const bool stays = tensor.n_dims >= 2 && is_float(tensor.dtype);
    return TensorPlan{tensor, stays ? tensor.dtype : DType::kF32, {}};
  }
  const DType wanted = wanted_type(target, model, tensor);
  const DType to = fitting_type(wanted, tensor.n_cols());
  return TensorPlan{tensor, to, to == wanted ? std::nullopt : std::optional(wanted)};
}

}  // namespace

std::span<const QuantizeTarget> quantize_targets() { return kTargets; }

const QuantizeTarget* find_quantize_target(std::string_view name) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; };
  for (const QuantizeTarget& target : kTargets) {
    if (std::ranges::equal(target.name, name, {}, upper, upper)) return &target;
  }
  return nullptr;
}

Result<std::vector<TensorPlan>> plan_quantization(const gguf::File& file,
                                                  const QuantizeTarget& target,
                                                  const PlanOptions& options) {
  MARU_TRY(model, Model::of(file));
  std::vector<TensorPlan> plans;
  for (const gguf::TensorView& tensor : file.tensors()) {
    MARU_TRY(plan, plan_tensor(tensor, target, model, options));
    plans.push_back(plan);
  }
  return plans;
}

}  // namespace maru::model
