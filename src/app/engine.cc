#include "app/engine.h"

#include <algorithm>
#include <iostream>

#include "app/terminal.h"

namespace maru::app {
namespace {

// Asks on the terminal; everything but an answer that starts with n means yes.
bool confirm(const std::string& question) {
  write_err(question + " [Y/n] ");
  std::string answer;
  if (!std::getline(std::cin, answer)) return false;
  return answer.empty() || (answer.front() != 'n' && answer.front() != 'N');
}

// "loading NAME 45%" on the terminal while it lives; then the line is as it was.
class LoadingLine {
 public:
  explicit LoadingLine(const std::string& name) : name_(name), shown_(stderr_is_terminal()) {
    show("");
  }
  ~LoadingLine() {
    if (shown_) write_err("\r\x1b[K");
  }
  LoadingLine(const LoadingLine&) = delete;
  LoadingLine& operator=(const LoadingLine&) = delete;

  void update(const link::Loading& loading) {
    const double share = static_cast<double>(loading.n_bytes) /
                         static_cast<double>(std::max<uint64_t>(1, loading.n_bytes_total));
    show(fmt::format(" {:.0f}%", 100 * share));
  }

 private:
  void show(const std::string& how_far) {
    if (shown_) write_err(fmt::format("\r\x1b[Kloading {}{}", name_, how_far));
  }

  const std::string name_;
  const bool shown_;
};

Result<EngineClient> start_with_progress(const link::ProcessOptions& process,
                                         const std::string& name, const link::LoadRequest& load) {
  LoadingLine line(name);
  return link::start_process_client(
      process, load, {.on_progress = [&](const link::Loading& loading) { line.update(loading); }});
}

}  // namespace

link::ProcessOptions engine_process(const Session& session) {
  link::ProcessOptions options;
  options.argv = {"/proc/self/exe", "engine"};
  if (!session.engine_script.empty()) {
    options.argv.push_back("--scripted");
    options.argv.push_back(session.engine_script);
  }
  return options;
}

link::LoadRequest load_request(const Config& config) {
  link::LoadRequest load;
  load.n_threads = config.threads;
  load.n_ctx = config.context;
  load.isa = config.isa;
  load.guesses = config.guesses;
  return load;
}

Result<hub::StoredModel> find_model(const Session& session, const std::string& name) {
  MARU_TRY(store, hub::Store::open(session.config.home));
  auto model = store.find(name);
  if (model.ok() || model.error().code != ErrorCode::kNotFound) return model;
  const hub::CatalogueEntry* entry = hub::find_in_catalogue(name);
  if (entry == nullptr || !stdin_is_terminal() || !stderr_is_terminal()) return model;
  if (!confirm(fmt::format("{} is not on this machine. Fetch it ({}, {})?", entry->name,
                           human_bytes(entry->bytes), entry->licence))) {
    return model;
  }
  return pull_with_progress(session, store, hub::request_for(*entry));
}

Result<EngineClient> start_engine(const Session& session, const std::string& model,
                                  const EngineOptions& options) {
  link::LoadRequest load = load_request(session.config);
  load.vocab_only = options.vocab_only;
  if (options.no_guesses) load.guesses = false;
  load.adapters = options.adapters;
  if (session.engine_script.empty()) {
    MARU_TRY(stored, find_model(session, model));
    load.path = std::filesystem::absolute(stored.path).string();
  } else {
    load.path = model;
  }
  MARU_TRY(client, start_with_progress(engine_process(session), model, load));
  if (options.for_text && !client->card().generates) {
    return Error::unsupported(
        fmt::format("{} is an encoder ({}): it makes embeddings and no text. `maru embed {} \"a "
                    "text\"` makes one",
                    model, client->card().architecture, model));
  }
  return client;
}

}  // namespace maru::app
