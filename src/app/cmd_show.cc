// `maru show MODEL`: what a model is. The engine process reads the file; the catalogue adds what a
// file does not say.
#include "app/engine.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

Json describe_model(const hub::StoredModel& stored, const link::ModelCard& card) {
  const hub::CatalogueEntry* entry = hub::find_in_catalogue(stored.name);
  if (entry != nullptr && stored.bytes != entry->bytes) entry = nullptr;  // another file
  Json json = {{"name", stored.name},
               {"path", stored.path.string()},
               {"bytes", stored.bytes},
               {"architecture", card.architecture},
               {"title", card.name},
               {"parameters", card.n_params},
               {"weight_bytes", card.weight_bytes},
               {"context", card.n_ctx_train},
               {"vocabulary", card.n_vocab},
               {"chat_template", card.has_chat_template}};
  if (entry != nullptr) {
    json["kind"] = hub::model_kind_name(entry->kind);
    json["quantization"] = entry->quantization;
    json["source"] = entry->upstream;
    json["licence"] = entry->licence;
    json["licence_terms"] = entry->licence_terms;
    json["licence_url"] = entry->licence_url;
  }
  if (!stored.sha256.empty()) json["sha256"] = stored.sha256;
  return json;
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
    std::string shown = value.is_string() ? value.get<std::string>() : dump_json(value);
    if (key.ends_with("bytes")) shown = human_bytes(value.get<uint64_t>());
    if (key == "chat_template") shown = value.get<bool>() ? "yes" : "no";
    print("{:<14} {}\n", key, shown);
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
