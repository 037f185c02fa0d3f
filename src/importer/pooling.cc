#include "importer/pooling.h"

#include <fmt/format.h>

#include <array>

#include "importer/family.h"
#include "importer/tokenizer.h"

namespace maru::importer {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPoolingBytesMax = 1 << 20;
constexpr size_t kModulesMax = 16;
constexpr uint32_t kMean = 1;
constexpr uint32_t kCls = 2;
constexpr uint32_t kLast = 3;

Result<Json> read_json(const fs::path& path) {
  MARU_TRY(text, read_file(path, kPoolingBytesMax));
  auto json = parse_json(text);
  if (json.ok()) return json;
  return Error::corrupt(fmt::format("'{}': {}", path.string(), json.error().message));
}

// The folder of the pooling module; empty where there is none.
Result<std::string> pooling_folder(const fs::path& folder, Draft& draft) {
  std::error_code ignored;
  if (!fs::exists(folder / "modules.json", ignored)) {
    return std::string(fs::exists(folder / "1_Pooling" / "config.json", ignored) ? "1_Pooling"
                                                                                 : "");
  }
  MARU_TRY(modules, read_json(folder / "modules.json"));
  if (!modules.is_array() || modules.size() > kModulesMax) {
    return Error::corrupt(fmt::format("modules.json is no list of at most {}", kModulesMax));
  }
  std::string found;
  for (const Json& module : modules) {
    const std::string type = text_of(module, "type");
    if (type.ends_with(".Pooling")) found = text_of(module, "path");
    if (type.ends_with(".Dense")) {
      draft.plan.notes.push_back(
          fmt::format("the layer behind the pooling in '{}' is left out", text_of(module, "path")));
    }
  }
  if (found.find("..") != std::string::npos || found.starts_with('/')) {
    return Error::corrupt(fmt::format("modules.json names the folder '{}'", found));
  }
  return found;
}

Result<uint32_t> pooling_number(const Json& config) {
  constexpr std::array<std::pair<std::string_view, uint32_t>, 3> kFlags = {
      {{"pooling_mode_mean_tokens", kMean},
       {"pooling_mode_cls_token", kCls},
       {"pooling_mode_lasttoken", kLast}}};
  constexpr std::array<std::pair<std::string_view, uint32_t>, 3> kNames = {
      {{"mean", kMean}, {"cls", kCls}, {"lasttoken", kLast}}};
  for (const auto& [key, number] : kFlags) {
    const Json& value = member(config, key);
    if (value.is_boolean() && value.get<bool>()) return number;
  }
  const std::string mode = text_of(config, "pooling_mode");
  for (const auto& [name, number] : kNames) {
    if (mode == name) return number;
  }
  return Error::unsupported("the pooling is none of mean, cls and lasttoken");
}

}  // namespace

Result<void> add_pooling(const fs::path& folder, Draft& draft) {
  MARU_TRY(path, pooling_folder(folder, draft));
  if (path.empty()) {
    if (draft.family.is_encoder) {
      draft.u32("pooling_type", kMean);
      draft.plan.notes.push_back("the folder names no pooling; the mean is taken");
    }
    return {};
  }
  MARU_TRY(config, read_json(folder / path / "config.json"));
  MARU_TRY(number, pooling_number(config));
  draft.u32("pooling_type", number);
  return {};
}

}  // namespace maru::importer
