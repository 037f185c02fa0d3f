// `maru list`: the models on this machine, or with --available those of the catalogue.
#include <algorithm>

#include "app/session.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

Json model_json(const hub::StoredModel& model) {
  return {{"name", model.name},           {"path", model.path.string()},
          {"bytes", model.bytes},         {"sha256", model.sha256},
          {"source", model.source},       {"licence", model.licence},
          {"pulled_at", model.pulled_at}, {"modified_at", model.modified_at}};
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
  size_t width = 4;
  for (const auto& model : *models) width = std::max(width, model.name.size());
  print("{:<{}}  {:>8}  {:<12}  {}\n", "NAME", width, "SIZE", "LICENCE", "MODIFIED");
  for (const auto& model : *models) {
    print("{:<{}}  {:>8}  {:<12}  {}\n", model.name, width, human_bytes(model.bytes),
          model.licence.empty() ? "-" : model.licence, human_time(model.modified_at));
  }
  return kExitOk;
}

int list_available(const hub::Store& store, bool json) {
  const auto models = store.list();
  if (!models.ok()) return fail(models.error());
  const auto is_here = [&](const hub::CatalogueEntry& entry) {
    return std::ranges::any_of(*models, [&](const auto& m) { return m.name == entry.name; });
  };
  Json array = Json::array();
  if (!json) {
    print("{:<20} {:>8}  {:<5} {:<8} {:<12} {}\n", "NAME", "SIZE", "KIND", "QUANT", "LICENCE",
          "HERE");
  }
  for (const auto& entry : hub::catalogue()) {
    if (json) {
      array.push_back({{"name", entry.name},
                       {"kind", hub::model_kind_name(entry.kind)},
                       {"architecture", entry.architecture},
                       {"parameters", entry.parameters},
                       {"quantization", entry.quantization},
                       {"bytes", entry.bytes},
                       {"sha256", entry.sha256},
                       {"source", entry.upstream},
                       {"licence", entry.licence},
                       {"licence_terms", entry.licence_terms},
                       {"licence_url", entry.licence_url},
                       {"here", is_here(entry)}});
      continue;
    }
    print("{:<20} {:>8}  {:<5} {:<8} {:<12} {}\n", entry.name, human_bytes(entry.bytes),
          hub::model_kind_name(entry.kind), entry.quantization, entry.licence,
          is_here(entry) ? "yes" : "no");
  }
  if (json) print_json(array);
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
