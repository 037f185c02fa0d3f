// `maru list`: the models on this machine, or with --available those of the catalogue.
#include <algorithm>

#include "app/session.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

std::string or_unknown(const std::string& text) { return text.empty() ? "unknown" : text; }

// The licence of its sidecar, else what the catalogue says of this file.
std::string licence_of(const hub::StoredModel& model) {
  if (!model.licence.empty()) return model.licence;
  const hub::CatalogueEntry* entry = hub::catalogue_entry_of(model);
  return entry == nullptr ? std::string() : entry->licence;
}

Json model_json(const hub::StoredModel& model) {
  return {{"name", model.name},
          {"path", model.path.string()},
          {"bytes", model.bytes},
          {"quantization", or_null(model.quantization)},
          {"sha256", model.sha256.size() == 1 ? Json(model.sha256.front()) : Json(model.sha256)},
          {"checked", or_null(model.checked)},
          {"source", or_null(model.source)},
          {"licence", or_null(licence_of(model))},
          {"link_target", or_null(model.link_target)},
          {"pulled_at", model.pulled_at},
          {"modified_at", model.modified_at}};
}

int list_here(const hub::Store& store, bool json) {
  const auto models = store.list();
  if (!models.ok()) return fail(models.error());
  if (json) {
    Json array = Json::array();
    for (const auto& model : *models) array.push_back(model_json(model));
    print_json(array);
    return kExitOk;
  }
  if (models->empty()) {
    write_err(
        fmt::format("no models yet: `maru pull {}` fetches one\n", hub::default_model().name));
    return kExitOk;
  }
  size_t name_width = 4;
  size_t licence_width = 7;
  for (const auto& model : *models) {
    name_width = std::max(name_width, model.name.size());
    licence_width = std::max(licence_width, licence_of(model).size());
  }
  print("{:<{}}  {:>8}  {:<8}  {:<{}}  {}\n", "NAME", name_width, "SIZE", "QUANT", "LICENCE",
        licence_width, "MODIFIED");
  for (const auto& model : *models) {
    print("{:<{}}  {:>8}  {:<8}  {:<{}}  {}\n", model.name, name_width, human_bytes(model.bytes),
          or_unknown(model.quantization), or_unknown(licence_of(model)), licence_width,
          human_time(model.modified_at));
  }
  return kExitOk;
}

Json entry_json(const hub::CatalogueEntry& entry, bool here) {
  Json sources = Json::array();
  for (const hub::Source& source : entry.sources) sources.push_back(hub::source_text(source));
  return {{"name", entry.name},
          {"aliases", entry.aliases},
          {"kind", hub::model_kind_name(entry.kind)},
          {"architecture", entry.architecture},
          {"parameters", entry.parameters},
          {"quantization", entry.quantization},
          {"bytes", entry.bytes},
          {"sha256", or_null(entry.sha256)},
          {"checked_against", entry.sha256.empty() ? "hub" : "catalogue"},
          {"upstream", entry.upstream},
          {"sources", sources},
          {"licence", entry.licence},
          {"licence_terms", entry.licence_terms},
          {"licence_url", entry.licence_url},
          {"here", here}};
}

int list_available(const hub::Store& store, bool json) {
  const auto models = store.list();
  if (!models.ok()) return fail(models.error());
  const auto is_here = [&](const hub::CatalogueEntry& entry) {
    return std::ranges::any_of(*models, [&](const auto& m) { return m.name == entry.name; });
  };
  if (json) {
    Json array = Json::array();
    for (const auto& entry : hub::catalogue()) array.push_back(entry_json(entry, is_here(entry)));
    print_json(array);
    return kExitOk;
  }
  constexpr const char* kRow = "{:<22} {:>8}  {:<9} {:<7} {:<15} {:<9} {}\n";
  write_out(fmt::format(fmt::runtime(kRow), "NAME", "SIZE", "KIND", "QUANT", "LICENCE", "SHA256",
                        "HERE"));
  for (const auto& entry : hub::catalogue()) {
    write_out(fmt::format(fmt::runtime(kRow), entry.name, human_bytes(entry.bytes),
                          hub::model_kind_name(entry.kind), entry.quantization, entry.licence,
                          entry.sha256.empty() ? "the hub's" : "known",
                          is_here(entry) ? "yes" : "no"));
  }
  write_err("Any model of the hub: `maru pull hf.co/ORG/REPO:QUANT`.\n");
  return kExitOk;
}

}  // namespace

void add_list(Session& session) {
  const Command command = session.add_command("list", "Show the models on this machine");
  command.alias("ls");
  auto available = std::make_shared<bool>(false);
  auto json = std::make_shared<bool>(false);
  command.add_flag("--available", *available, "show what `maru pull` can fetch");
  command.add_flag("--json", *json, "print a JSON array");
  command.runs([&session, available, json] {
    const auto store = hub::Store::open(session.config.home);
    if (!store.ok()) return fail(store.error());
    return *available ? list_available(*store, *json) : list_here(*store, *json);
  });
}

}  // namespace maru::app
