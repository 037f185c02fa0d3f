// serve/openai/models.cc - see models.h.
#include "serve/openai/models.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace maru::serve::openai {
namespace {

constexpr size_t kSuggestionsMax = 3;
constexpr size_t kNameBytesMax = 128;  // a longer one is compared by its first bytes

// Source: Levenshtein 1966; one row at a time.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view wanted, std::span<const std::string> names,
                                       size_t n_max) {
  wanted = wanted.substr(0, kNameBytesMax);
  std::vector<std::pair<size_t, std::string>> scored;
  for (const std::string& name : names) {
    const bool is_part = !wanted.empty() && name.find(wanted) != std::string::npos;
    const size_t distance = is_part ? 0 : edit_distance(wanted, name);
    if (distance * 2 <= std::max(wanted.size(), name.size())) scored.emplace_back(distance, name);
  }
  std::ranges::sort(scored);
  std::vector<std::string> nearest;
  for (const auto& [distance, name] : scored) {
    if (nearest.size() < n_max && std::ranges::find(nearest, name) == nearest.end()) {
      nearest.push_back(name);
    }
  }
  return nearest;
}

Error unknown_model_error(std::string_view id, const Services& services) {
  std::vector<std::string> installed;
  for (const ModelInfo& model : services.models()) installed.push_back(model.id);
  const std::vector<std::string> pullable = services.pullable();
  std::string text = fmt::format("no model \"{}\" is installed", id.substr(0, kNameBytesMax));
  const auto near_installed = nearest_names(id, installed, kSuggestionsMax);
  if (!near_installed.empty()) {
    text += fmt::format("; nearest: {}", fmt::join(near_installed, ", "));
  } else if (!installed.empty()) {
    text += fmt::format("; installed: {}", fmt::join(installed, ", "));
  }
  const auto near_pullable = nearest_names(id, pullable, 1);
  text += fmt::format("; `maru pull {}` fetches it",
                      near_pullable.empty() ? "NAME" : near_pullable.front());
  Error error = Error::not_found(std::move(text));
  error.param = "model";
  return error;
}

Json model_json(const ModelInfo& model, const link::ModelCard* card) {
  Json json = Json::object();
  json["id"] = model.id;
  json["object"] = "model";
  json["created"] = model.created;
  json["owned_by"] = model.owned_by.empty() ? "unknown" : model.owned_by;
  const size_t n_ctx = card != nullptr ? card->n_ctx : model.n_ctx;
  json["context_length"] = n_ctx == 0 ? Json(nullptr) : Json(n_ctx);
  Json capabilities = Json::array();
  if (model.kind == "chat") capabilities = {"chat", "completion"};
  if (model.kind == "base") capabilities = {"completion"};
  if (model.kind == "embedding") capabilities = {"embedding"};
  json["capabilities"] = std::move(capabilities);
  json["architecture"] = {{"input_modalities", {"text"}}, {"output_modalities", {"text"}}};
  const uint64_t n_params =
      model.n_params == 0 && card != nullptr ? card->n_params : model.n_params;
  json["meta"] = {{"kind", model.kind},
                  {"license", model.license},
                  {"architecture", model.architecture},
                  {"n_params", n_params == 0 ? Json(nullptr) : Json(n_params)},
                  {"size", model.n_bytes},
                  {"loaded", card != nullptr}};
  return json;
}

}  // namespace maru::serve::openai
