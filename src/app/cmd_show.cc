// `maru show MODEL`: what a model is. The engine process reads the file; the catalogue adds what a
// file does not say.
#include <fmt/ranges.h>

#include "app/engine.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json describe_model(const hub::StoredModel& stored, const link::ModelCard& card) {
  const hub::CatalogueEntry* entry = hub::catalogue_entry_of(stored);
  Json json = {{"name", stored.name},
               {"path", stored.path.string()},
               {"bytes", stored.bytes},
               {"architecture", card.architecture},
               {"title", card.name},
               {"parameters", card.n_params},
               {"weight_bytes", card.weight_bytes},
               {"context", card.n_ctx_train},
               {"vocabulary", card.n_vocab},
               {"quantization", or_null(stored.quantization)},
               {"chat_template", card.has_chat_template},
               {"makes", card.generates ? "text" : "embeddings"},
               {"dimensions", card.d_model},
               {"pooling", or_null(card.pooling)},
               {"licence", or_null(stored.licence)},
               {"source", or_null(stored.source)}};
  if (!stored.link_target.empty()) json["link_target"] = stored.link_target;
  if (!stored.revision.empty()) json["revision"] = stored.revision;
  if (entry != nullptr) {
    json["kind"] = hub::model_kind_name(entry->kind);
    json["quantization"] = entry->quantization;
    json["licence"] = entry->licence;
    json["licence_terms"] = entry->licence_terms;
    json["licence_url"] = entry->licence_url;
    json["upstream"] = entry->upstream;
    Json sources = Json::array();
    for (const hub::Source& source : entry->sources) sources.push_back(hub::source_text(source));
    json["sources"] = sources;
    if (stored.source.empty()) json["source"] = entry->upstream;
  }
  if (stored.sha256.size() == 1) json["sha256"] = stored.sha256.front();
  if (stored.sha256.size() > 1) json["sha256"] = stored.sha256;
  if (!stored.sha256.empty()) json["checked"] = or_null(stored.checked);
  return json;
}

// A value as a person reads it.
std::string shown(const std::string& key, const Json& value) {
  if (value.is_null()) return key == "checked" ? "by nobody" : "unknown";
  if (key.ends_with("bytes")) return human_bytes(value.get<uint64_t>());
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return dump_json(value);
  std::vector<std::string> texts;
  for (const Json& text : value) texts.push_back(text.get<std::string>());
  return fmt::format("{}", fmt::join(texts, ", "));
}

int run_show(const Session& session, const std::string& name, bool json) {
  const auto stored = find_model(session, name);
  if (!stored.ok()) return fail(stored.error());
  auto client = start_engine(session, name);
  if (!client.ok()) return fail(client.error());
  const Json described = describe_model(*stored, (*client)->card());
  if (json) {
    print_json(described);
    return kExitOk;
  }
  for (const auto& [key, value] : described.items()) {
    print("{:<14} {}\n", key, shown(key, value));
  }
  return kExitOk;
}

}  // namespace

void add_show(Session& session) {
  const Command command = session.add_command("show", "Describe a model");
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command.add_option("MODEL", *name, "name, or path of a GGUF file").required();
  command.add_flag("--json", *json, "print a JSON object");
  command.runs([&session, name, json] { return run_show(session, *name, *json); });
}

}  // namespace maru::app
