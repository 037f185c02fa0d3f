// app/engine.h - how a command gets a model: found in the store, loaded in an engine process.
//
// No command parses a model file or evaluates a model in its own process. Threads: one.
#pragma once
#include <memory>
#include <string>

#include "app/session.h"
#include "link/client.h"
#include "link/process_client.h"

namespace maru::app {

using EngineClient = std::unique_ptr<link::Client>;

// This same program as an engine: scripted where a test asks for it (--engine-script).
link::ProcessOptions engine_process(const Session& session);

// A LoadRequest with the settings of Config; the path is left open.
link::LoadRequest load_request(const Config& config);

// The file of MODEL. A catalogue model that is not here: on a terminal the person is asked whether
// to fetch it. Errors: kNotFound with what to do; those of pulling.
Result<hub::StoredModel> find_model(const Session& session, const std::string& name);

struct EngineOptions {
  bool vocab_only = false;
  std::vector<link::AdapterFile> adapters = {};
  bool no_guesses = false;  // whatever the settings say
  bool for_text = false;    // refuses an encoder, which makes embeddings and no text
};
// find_model() and an engine that has loaded it.
Result<EngineClient> start_engine(const Session& session, const std::string& model,
                                  const EngineOptions& options = {});

}  // namespace maru::app
