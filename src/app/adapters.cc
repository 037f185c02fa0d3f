#include "app/adapters.h"

#include <fmt/format.h>

#include <algorithm>

namespace maru::app {
namespace {

bool is_name(std::string_view name) {
  const auto is_good = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kAdapterNameBytesMax && std::ranges::all_of(name, is_good);
}

}  // namespace

Result<ServedAdapter> parse_adapter(std::string_view text, const std::string& default_model) {
  const size_t equals = text.find('=');
  const std::string_view left = text.substr(0, equals);
  const size_t colon = left.rfind(':');  // names of models may have one of their own
  const std::string_view name = left.substr(colon == std::string_view::npos ? 0 : colon + 1);
  if (equals == std::string_view::npos || equals + 1 == text.size() || !is_name(name) ||
      colon == 0) {
    return Error::invalid(
        fmt::format("--adapter '{}': expected [MODEL:]NAME=FILE, with a NAME of 1 to {} letters, "
                    "digits, '.', '_' and '-'",
                    text, kAdapterNameBytesMax),
        "adapter");
  }
  const std::filesystem::path file(text.substr(equals + 1));
  return ServedAdapter{
      colon == std::string_view::npos ? default_model : std::string(left.substr(0, colon)),
      {std::string(name), std::filesystem::absolute(file).string()}};
}

Result<std::vector<ServedAdapter>> read_adapters(const Session& session, const hub::Store& store) {
  std::vector<ServedAdapter> adapters;
  for (const std::string& text : session.adapters) {
    MARU_TRY(adapter, parse_adapter(text, session.config.model));
    if (session.engine_script.empty()) {
      MARU_TRY(model, store.find(adapter.model));
      adapter.model = model.name;
    }
    std::error_code error;
    if (!std::filesystem::is_regular_file(adapter.file.path, error)) {
      return Error::not_found(
          fmt::format("--adapter '{}': there is no file '{}'", text, adapter.file.path));
    }
    size_t n_of_model = 0;
    for (const ServedAdapter& other : adapters) {
      if (other.model != adapter.model) continue;
      ++n_of_model;
      if (other.file.name == adapter.file.name) {
        return Error::invalid(fmt::format("--adapter '{}': {} has an adapter of that name already",
                                          text, adapter.model));
      }
    }
    if (n_of_model == link::kAdaptersMax) {
      return Error::invalid(fmt::format("--adapter '{}': a model takes at most {} adapters", text,
                                        link::kAdaptersMax));
    }
    adapters.push_back(std::move(adapter));
  }
  return adapters;
}

}  // namespace maru::app
