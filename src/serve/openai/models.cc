// serve/openai/models.cc - see models.h.
#include "serve/openai/models.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "hub/store.h"

namespace maru::serve::openai {
namespace {

constexpr size_t kSuggestionsMax = 3;
constexpr size_t kNameBytesMax = 128;  // of a name from outside, compared and shown

}  // namespace

Error unknown_model_error(std::string_view id, const Services& services) {
  std::vector<std::string> installed, adapters;
  const std::string_view base = id.substr(0, id.rfind(':'));
  bool has_base = false;
  for (const ModelInfo& model : services.models()) {
    installed.push_back(model.id);
    if (model.base == base) adapters.push_back(model.adapter);
    has_base |= model.id == base && base.size() < id.size();
  }
  if (has_base) {
    Error error = Error::not_found(fmt::format(
        "model \"{}\" has no adapter \"{}\"; {}", base, id.substr(base.size() + 1, kNameBytesMax),
        adapters.empty() ? std::string("it has none: `maru serve --adapter NAME=FILE` adds one")
                         : fmt::format("it has: {}", fmt::join(adapters, ", "))));
    error.param = "model";
    return error;
  }
  const std::vector<std::string> pullable = services.pullable();
  const std::string_view wanted = id.substr(0, kNameBytesMax);
  std::string text = fmt::format("no model \"{}\" is installed", wanted);
  const auto near_installed = hub::nearest_names(wanted, installed, kSuggestionsMax);
  if (!near_installed.empty()) {
    text += fmt::format("; nearest: {}", fmt::join(near_installed, ", "));
  } else if (!installed.empty()) {
    text += fmt::format("; installed: {}", fmt::join(installed, ", "));
  }
  const auto near_pullable = hub::nearest_names(wanted, pullable, 1);
  const bool can_come = !near_pullable.empty() &&
                        std::ranges::find(installed, near_pullable.front()) == installed.end();
  text += fmt::format("; `maru pull {}` fetches {}", can_come ? near_pullable.front() : "NAME",
                      can_come ? "it" : "another");
  Error error = Error::not_found(std::move(text));
  error.param = "model";
  return error;
}

double load_progress(const link::EngineStatus& engine) {
  using enum link::ModelState;
  const link::ModelState state = engine.residency.state;
  if (state == kReady || state == kStopping) return 1;
  return static_cast<double>(engine.loading.n_bytes) /
         static_cast<double>(std::max<uint64_t>(1, engine.loading.n_bytes_total));
}

Json model_json(const ModelInfo& model, const link::EngineStatus* engine) {
  const link::ModelCard* card =
      engine != nullptr && engine->client != nullptr ? &engine->client->card() : nullptr;
  Json json = Json::object();
  json["id"] = model.id;
  json["object"] = "model";
  json["created"] = model.created;
  if (!model.base.empty()) json["parent"] = model.base;
  json["owned_by"] = model.owned_by.empty() ? "unknown" : model.owned_by;
  const size_t n_ctx = card != nullptr ? card->n_ctx : model.n_ctx;
  json["context_length"] = n_ctx == 0 ? Json(nullptr) : Json(n_ctx);
  Json capabilities = Json::array();
  if (model.kind == "chat") capabilities = {"chat", "completion"};
  if (model.kind == "base") capabilities = {"completion"};
  if (model.kind == "embedding") capabilities = {"embedding", "rerank"};
  if (card != nullptr && !card->pooling.empty()) {
    capabilities = {"embedding", "rerank"};
    if (card->pooling == "rank") capabilities = {"rerank"};
  }
  json["capabilities"] = std::move(capabilities);
  json["architecture"] = {{"input_modalities", {"text"}}, {"output_modalities", {"text"}}};
  const uint64_t n_params =
      model.n_params == 0 && card != nullptr ? card->n_params : model.n_params;
  json["meta"] = {
      {"kind", model.kind},
      {"license", model.license},
      {"architecture", model.architecture},
      {"n_params", n_params == 0 ? Json(nullptr) : Json(n_params)},
      {"size", model.n_bytes},
      {"loaded", card != nullptr},
      {"state", engine == nullptr ? "unloaded" : link::model_state_name(engine->residency.state)},
      {"progress", engine == nullptr ? 0 : load_progress(*engine)}};
  return json;
}

}  // namespace maru::serve::openai
