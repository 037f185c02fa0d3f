#include "importer/draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "gguf/file.h"
#include "importer/family.h"
#include "importer/values.h"

namespace maru::importer {
namespace {

using tensor::DType;

// Weights that are small and that programs read as float32.
constexpr std::array<std::string_view, 7> kAlwaysF32 = {
    "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "position_embd.weight",
    "token_types.weight",  "ssm_conv1d.weight",         "shortconv.conv.weight",
    "_norm.weight"};

std::string read_types() {
  return fmt::format("{}, {}, {} and {}", source_type_name(SourceType::kF32),
                     source_type_name(SourceType::kF16), source_type_name(SourceType::kBF16),
                     source_type_name(SourceType::kF64));
}

}  // namespace

std::string Draft::full(std::string_view key) const {
  return fmt::format("{}.{}", family.architecture, key);
}

void Draft::u32(std::string_view key, uint64_t value) {
  plan.metadata.set_u32(full(key), static_cast<uint32_t>(value));
}
void Draft::f32(std::string_view key, double value) {
  plan.metadata.set_f32(full(key), static_cast<float>(value));
}
void Draft::flag(std::string_view key, bool value) { plan.metadata.set_bool(full(key), value); }
void Draft::text(std::string_view key, std::string_view value) {
  plan.metadata.set_string(full(key), value);
}
void Draft::i32s(std::string_view key, std::span<const int32_t> values) {
  plan.metadata.set_i32s(full(key), values);
}
void Draft::flags(std::string_view key, const std::vector<bool>& values) {
  plan.metadata.set_bools(full(key), values);
}

DType Draft::type_of(const NewTensor& tensor, DType kept) const {
  const auto ends = [&](std::string_view suffix) { return tensor.name.ends_with(suffix); };
  if (tensor.dims.size() < 2 || !ends(".weight") || std::ranges::any_of(kAlwaysF32, ends)) {
    return DType::kF32;
  }
  return dtype_.value_or(kept);
}

bool Draft::add(std::string_view to, std::string_view from, Arrange arrange) {
  const std::string name(from);
  return add_stacked(to, std::span(&name, 1), arrange);
}

bool Draft::add_stacked(std::string_view to, std::span<const std::string> from, Arrange arrange) {
  if (from.empty() || !weights.has(from.front())) return false;
  NewTensor tensor;
  tensor.name = to;
  for (const std::string& name : from) {
    const SourceTensor* source = weights.take(name);
    if (source == nullptr) {
      fail(fmt::format("the model has tensor '{}' but not '{}'", from.front(), name));
      return true;
    }
    if (source->type != weights.find(from.front())->type ||
        source->shape != weights.find(from.front())->shape) {
      fail(fmt::format("tensors '{}' and '{}' differ in type or shape", from.front(), name));
      return true;
    }
    tensor.sources.push_back(source);
  }
  const SourceTensor& first = *tensor.sources.front();
  tensor.dims.assign(first.shape.rbegin(), first.shape.rend());
  if (tensor.dims.empty()) tensor.dims.push_back(1);
  if (from.size() > 1) tensor.dims.push_back(from.size());
  const uint64_t n_cols = first.n_cols();
  const uint64_t n_rows = first.n_rows();
  if (n_rows > 0) {
    tensor.row = [sources = tensor.sources, n_cols, n_rows](uint64_t row) {
      return RowRef{sources[row / n_rows], row % n_rows * n_cols, 1};
    };
  }
  push(std::move(tensor), arrange);
  return true;
}

void Draft::add_values(std::string_view to, std::vector<float> values) {
  NewTensor tensor;
  tensor.name = to;
  tensor.dims = {values.size()};
  tensor.values = std::move(values);
  names_.insert(tensor.name);
  plan.tensors.push_back(std::move(tensor));
}

void Draft::push(NewTensor tensor, Arrange arrange) {
  const SourceTensor& first = *tensor.sources.front();
  if (first.n_elements() == 0) return fail(fmt::format("tensor '{}' is empty", first.name));
  if (arrange != nullptr) arrange(*this, tensor);
  if (tensor.dims.size() > gguf::kDimsMax) {
    return fail(fmt::format("tensor '{}' has {} dimensions, GGUF holds {}", first.name,
                            tensor.dims.size(), gguf::kDimsMax));
  }
  if (std::ranges::find(tensor.dims, 0u) != tensor.dims.end()) {
    return fail(fmt::format("nothing of tensor '{}' is left for '{}'", first.name, tensor.name));
  }
  if (tensor.scales == nullptr) {
    const auto kept = kept_type(first.type);
    if (!kept) {
      return fail(
          Error::unsupported(fmt::format("tensor '{}' has type {}; weights of type {} are read",
                                         first.name, source_type_name(first.type), read_types())));
    }
    tensor.dtype = type_of(tensor, *kept);
  }
  if (!names_.insert(tensor.name).second) {
    return fail(fmt::format("tensor '{}' is a second source of '{}'", first.name, tensor.name));
  }
  plan.tensors.push_back(std::move(tensor));
}

}  // namespace maru::importer
