#include "importer/weights.h"

#include <fmt/format.h>

#include <set>

#include "base/json.h"

namespace maru::importer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";

// The files that the index names, in order of their names. Names lead out of no folder.
Result<std::set<std::string>> part_names(const Json& index) {
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return Error::corrupt(fmt::format("'{}' has no object weight_map", kIndexName));
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.starts_with('.') || name.find_first_of("/\\") != std::string::npos) {
      return Error::corrupt(
          fmt::format("'{}' places tensor '{}' in '{}', which is no file of its folder", kIndexName,
                      tensor.substr(0, 100), name.substr(0, 100)));
    }
    names.insert(name);
    if (names.size() > kPartsMax) {
      return Error::corrupt(fmt::format("'{}' names more than {} files", kIndexName, kPartsMax));
    }
  }
  return names;
}

}  // namespace

Result<void> Weights::add_part(SourceFile part, const std::string& name) {
  parts_.push_back(std::move(part));
  for (const SourceTensor& tensor : parts_.back().tensors()) {
    if (!by_name_.try_emplace(tensor.name, Place{&tensor, parts_.size() - 1, false}).second) {
      return Error::corrupt(
          fmt::format("'{}' holds tensor '{}', which another file has too", name, tensor.name));
    }
  }
  return {};
}

Result<Weights> Weights::open_file(const fs::path& file) {
  MARU_TRY(part, open_safetensors(file));
  Weights weights;
  MARU_TRY_VOID(weights.add_part(std::move(part), file.string()));
  return weights;
}

Result<Weights> Weights::parse(std::span<const std::byte> bytes) {
  MARU_TRY(tensors, parse_safetensors(bytes));
  Weights weights;
  MARU_TRY_VOID(weights.add_part(SourceFile(std::move(tensors)), "bytes"));
  return weights;
}

Result<Weights> Weights::open_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder / kIndexName, ignored)) {
    const fs::path whole = folder / "model.safetensors";
    if (fs::exists(whole, ignored)) return open_file(whole);
    return Error::not_found(
        fmt::format("'{}' has neither model.safetensors nor {}", folder.string(), kIndexName));
  }
  MARU_TRY(text, read_file(folder / kIndexName, kIndexBytesMax));
  const auto index = parse_json(text);
  if (!index.ok()) {
    return Error::corrupt(fmt::format("'{}': {}", kIndexName, index.error().message));
  }
  MARU_TRY(names, part_names(*index));
  Weights weights;
  for (const std::string& name : names) {
    MARU_TRY(part, open_safetensors(folder / name));
    MARU_TRY_VOID(weights.add_part(std::move(part), name));
  }
  for (const auto& [tensor, file] : (*index)["weight_map"].items()) {
    if (weights.has(tensor)) continue;
    return Error::corrupt(fmt::format("'{}' places tensor '{}' in '{}', which does not hold it",
                                      kIndexName, tensor, file.get<std::string>()));
  }
  return weights;
}

const SourceTensor* Weights::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second.tensor;
}

const SourceTensor* Weights::take(std::string_view name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  found->second.used = true;
  return found->second.tensor;
}

std::vector<const SourceTensor*> Weights::unused() const {
  std::vector<const SourceTensor*> tensors;
  for (const SourceFile& part : parts_) {
    for (const SourceTensor& tensor : part.tensors()) {
      if (!by_name_.at(tensor.name).used) tensors.push_back(&tensor);
    }
  }
  return tensors;
}

void Weights::drop(const SourceTensor& tensor) const {
  const auto found = by_name_.find(tensor.name);
  if (found != by_name_.end()) parts_[found->second.part].drop(tensor.bytes);
}

}  // namespace maru::importer
