// `maru serve`: the gateway. Builds the store, the supervisor of engines and the HTTP server, and
// waits for SIGINT or SIGTERM.
#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <semaphore>

#include "app/adapters.h"
#include "app/build.h"
#include "app/engine.h"
#include "app/kv_file.h"
#include "app/model_hash.h"
#include "app/port_owner.h"
#include "app/terminal.h"
#include "link/memory.h"
#include "link/supervisor.h"
#include "serve/http_server.h"
#include "serve/openai/routes.h"
#include "serve/page.h"

namespace maru::app {
namespace {

uint64_t system_random() {
  uint64_t value = 0;
  CHECK(::getrandom(&value, sizeof value, 0) == sizeof value);
  return value;
}

bool is_loopback(const std::string& address) {
  return address == "::1" || address.starts_with("127.");
}

serve::ModelInfo model_info(const hub::StoredModel& model) {
  serve::ModelInfo info;
  info.id = model.name;
  info.kind = "chat";  // of a file that nobody described; the engine says where it has no template
  info.license = model.licence;
  info.created = model.modified_at;
  info.n_bytes = model.bytes;
  if (const hub::CatalogueEntry* entry = hub::catalogue_entry_of(model)) {
    info.kind = hub::model_kind_name(entry->kind);
    info.license = entry->licence;
    info.architecture = entry->architecture;
    // "hf.co/Qwen/Qwen2.5-..." -> "Qwen"
    const size_t owner = entry->upstream.find('/') + 1;
    info.owned_by = entry->upstream.substr(owner, entry->upstream.find('/', owner) - owner);
  }
  return info;
}

link::ResidencyOptions residency_options(const Config& config) {
  link::ResidencyOptions options;
  if (config.keep_alive_s >= 0) options.keep_alive_ns = config.keep_alive_s * 1'000'000'000;
  options.bytes_max = uint64_t{config.memory} << 20;
  options.available = link::available_memory;
  return options;
}

// The gateway's side of models: what is in the store, and one engine for each that is used.
class Models {
 public:
  Models(const Session& session, hub::Store store, std::vector<ServedAdapter> adapters)
      : session_(session),
        store_(std::move(store)),
        adapters_(std::move(adapters)),
        supervisor_(
            [&session](const link::LoadRequest& load, const link::StartOptions& options) {
              return start(session, load, options);
            },
            residency_options(session.config), clock_) {}

  // The default model first, then by name.
  std::vector<hub::StoredModel> stored() const {
    auto models = store_.list();
    if (!models.ok()) {
      log_warning("{}", models.error().message);
      return {};
    }
    if (models->empty() && !session_.engine_script.empty()) {
      hub::StoredModel scripted;
      scripted.name = session_.config.model;
      scripted.path = session_.engine_script;
      scripted.parts = {scripted.path};
      models->push_back(std::move(scripted));
    }
    const auto preferred =
        std::ranges::find(*models, session_.config.model, &hub::StoredModel::name);
    if (preferred != models->end()) {
      std::rotate(models->begin(), preferred, preferred + 1);
    }
    return std::move(models).value();
  }

  void engine(const std::string& id, link::EngineWaiter waiter) {
    const auto model = find(id);
    if (!model.ok()) return waiter.on_ready(model.error());
    link::ModelSource source;
    source.load = load_request(session_.config);
    source.load.path = model->path.string();
    for (const ServedAdapter& adapter : adapters_) {
      if (adapter.model == id) source.load.adapters.push_back(adapter.file);
    }
    source.model = {.name = id,
                    .file_bytes = model->bytes,
                    .stamp = model->modified_at,
                    .pinned = is_pinned(id)};
    supervisor_.want(source, std::move(waiter));
  }
  Result<std::vector<std::string>> sha256(const std::string& id) {
    MARU_TRY(model, find(id));
    return hashes_.of(model);
  }

  std::span<const ServedAdapter> adapters() const { return adapters_; }

  // Begins to load what is pinned. Errors: kNotFound.
  Result<void> load_pinned() {
    for (const std::string& id : session_.config.pin) {
      if (auto model = find(id); !model.ok()) {
        return Error::not_found("pin: " + model.error().message);
      }
      engine(id, {.on_ready = [](const auto&) {}});  // the supervisor logs what went wrong
    }
    return {};
  }

  std::vector<link::EngineStatus> engines() const { return supervisor_.engines(); }

  void shutdown() { supervisor_.shutdown(); }
  const Clock& clock() const { return clock_; }

 private:
  // Only what is in the store, by its name: a request must not name files.
  Result<hub::StoredModel> find(const std::string& id) const {
    for (hub::StoredModel& model : stored()) {
      if (model.name == id) return std::move(model);
    }
    return Error::not_found(fmt::format("no model \"{}\" is installed", id));
  }

  // With a file for its conversations, where the settings want one and it can be had.
  static Result<std::unique_ptr<link::Client>> start(const Session& session, link::LoadRequest load,
                                                     const link::StartOptions& options) {
    link::ProcessOptions process = engine_process(session);
    if (session.config.kv_disk == 0 || !session.engine_script.empty()) {
      return link::start_process_client(process, load, options);
    }
    const auto file = KvFile::open(session.config.home, load.path, session.config.context);
    if (file.ok()) {
      process.kv_file_fd = file->fd();
      load.kv_file_bytes_max = file->bytes_max(uint64_t{session.config.kv_disk} << 20);
      load.kv_file_secret = file->secret();
    } else {
      log_warning("conversations stay in memory only: {}", file.error().message);
    }
    return link::start_process_client(process, load, options);
  }

  bool is_pinned(const std::string& id) const {
    return std::ranges::find(session_.config.pin, id) != session_.config.pin.end();
  }

  const Session& session_;
  const SystemClock clock_;
  const hub::Store store_;
  const std::vector<ServedAdapter> adapters_;
  ModelHashes hashes_;
  link::Supervisor supervisor_;
};

std::shared_ptr<serve::Services> make_services(Models& models) {
  auto services = std::make_shared<serve::Services>();
  services->models = [&models] {
    std::vector<serve::ModelInfo> infos;
    for (const hub::StoredModel& model : models.stored()) {
      const serve::ModelInfo info = model_info(model);
      infos.push_back(info);
      for (const ServedAdapter& adapter : models.adapters()) {
        if (adapter.model != info.id) continue;
        infos.push_back(info);
        infos.back().id = info.id + ":" + adapter.file.name;
        infos.back().base = info.id;
        infos.back().adapter = adapter.file.name;
      }
    }
    return infos;
  };
  services->pullable = [] {
    std::vector<std::string> names;
    for (const hub::CatalogueEntry& entry : hub::catalogue()) names.push_back(entry.name);
    return names;
  };
  services->engine = [&models](const std::string& id, link::EngineWaiter waiter) {
    models.engine(id, std::move(waiter));
  };
  services->model_sha256 = [&models](const std::string& id) { return models.sha256(id); };
  services->build = {std::string(kVersion), std::string(kCommit)};
  services->engines = [&models] { return models.engines(); };
  services->clock = &models.clock();
  services->random = system_random;
  return services;
}

Error explain_start(const Error& error, const Config& config) {
  if (error.code != ErrorCode::kUnavailable) return error;
  const auto owner = port_owner(config.port);
  return Error::unavailable(fmt::format("{}{}; `maru serve --port 0` takes any free port",
                                        error.message, owner ? " by " + *owner : ""));
}

// The first SIGINT or SIGTERM ends wait(); a second one, while what runs is being finished, ends
// the program at once.
class StopSignal {
 public:
  StopSignal()
      : interrupts_([this](int) {
          if (++n_signals_ > 1) std::_Exit(kExitFailed);
          asked_.release();
        }) {}
  void wait() { asked_.acquire(); }

 private:
  std::binary_semaphore asked_{0};
  std::atomic<int> n_signals_{0};
  const Interrupts interrupts_;  // last: it calls with the others in place
};

int run_serve(const Session& session) {
  Config config = session.config;
  if (config.host == "localhost") config.host = "127.0.0.1";
  if (!is_loopback(config.host)) {
    return fail(Error::unsupported(fmt::format(
        "serving on {} would let everybody who reaches it use this machine: Maru has no accounts "
        "yet. Serve on 127.0.0.1 and put a proxy that asks who is there in front of it",
        config.host)));
  }
  auto store = hub::Store::open(config.home);
  if (!store.ok()) return fail(store.error());
  log_info("maru {} ({}) with {}", kVersion, kCommit, dump_json(config_json(config)));

  auto adapters = read_adapters(session, *store);
  if (!adapters.ok()) return fail(adapters.error());

  StopSignal stop;  // before the address is said: who reads it may end us at once
  Models models(session, std::move(store).value(), std::move(adapters).value());
  serve::Router router;
  serve::openai::add_routes(router, make_services(models));
  serve::add_page_routes(router, serve::page_files());
  serve::ServerOptions options;
  options.address = config.host;
  options.port = config.port;
  options.clock = &models.clock();
  options.random = system_random;
  auto server = serve::Server::start(std::move(options), std::move(router));
  if (!server.ok()) return fail(explain_start(server.error(), config));

  const bool v6 = config.host.find(':') != std::string::npos;
  print("maru: listening on http://{}:{}\n", v6 ? "[" + config.host + "]" : config.host,
        (*server)->port());
  if (models.stored().empty()) {
    write_err(fmt::format("maru: there is no model yet; `maru pull {}` fetches one\n",
                          hub::default_model().name));
  }
  if (const auto pinned = models.load_pinned(); !pinned.ok()) {
    models.shutdown();
    return fail(pinned.error());
  }
  stop.wait();
  log_info("stopping; running answers have a few seconds to finish");
  (*server)->stop();
  models.shutdown();
  return kExitOk;
}

}  // namespace

void add_serve(Session& session) {
  const Command command =
      session.add_command("serve", "Serve the page and the API on this machine");
  command.add_setting("host", "address to listen on (default 127.0.0.1)");
  command.add_setting("port", "port to listen on; 0 = any free one (default 6278)");
  command.add_setting("model", "model to offer first");
  command.add_setting("threads", "threads of an engine");
  command.add_setting("context", "longest sequence in tokens");
  command.add_setting("isa", kIsaNames);
  command.add_setting("keep_alive",
                      "how long an unused model stays: 45s, 30m (default), 2h, forever");
  command.add_setting("memory", "MiB for all engines together; 0 = what the machine has");
  command.add_setting("pin", "models to load at start and keep, with commas between");
  command.add_setting("kv_disk", "MiB of disk for the conversations of each model; 0 = none");
  command.add_setting("speculate", "lookup: guess ahead what was said before (default), or off");
  command
      .add_option("--adapter", session.adapters,
                  "a LoRA adapter (GGUF) that requests may name as model MODEL:NAME (may be "
                  "repeated; without MODEL: of the model that is offered first)")
      .one_value_each()
      .value_name("[MODEL:]NAME=FILE");
  command.add_engine_script();
  command.runs([&session] { return run_serve(session); });
}

}  // namespace maru::app
