// serve/services.h - what serve/ needs from the rest of the program: app/ fills it in.
//
// It keeps serve/ from knowing where models lie or how engines are started.
// Threads: every function may be called from any thread, many at once.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "link/supervisor.h"
#include "serve/metrics.h"

namespace maru::serve {

// An installed model, as known without loading it.
struct ModelInfo {
  std::string id;            // "smollm2:135m"
  std::string kind;          // "chat", "base" or "embedding"
  std::string owned_by;      // who made it; empty: unknown
  std::string license;       // empty: unknown
  std::string architecture;  // empty: unknown
  int64_t created = 0;       // Units: seconds since 1970; when it was installed
  uint64_t n_params = 0;     // 0: unknown
  uint64_t n_bytes = 0;      // of the file
  size_t n_ctx = 0;          // longest sequence; 0: unknown until loaded
  // Of an adapter, whose id is "BASE:ADAPTER"; else empty.
  std::string base = {};     // the id of the model
  std::string adapter = {};  // its name in the engine

  // The id of the model itself.
  const std::string& model_id() const { return base.empty() ? id : base; }
};

// Which program answers.
struct Build {
  std::string version;
  std::string commit;
};

struct Services {
  // Installed models, in the order to show them in.
  std::function<std::vector<ModelInfo>()> models;
  // Names that `maru pull` knows, installed or not: for suggestions.
  std::function<std::vector<std::string>()> pullable;
  // Hands over the engine of an installed model; where it does not run, it is started first, and
  // the waiter hears how far that is. Errors: those of loading.
  std::function<void(const std::string& id, link::EngineWaiter waiter)> engine;
  // Engines that run, load, wait for memory or end now, without starting any.
  std::function<std::vector<link::EngineStatus>()> engines;
  // SHA-256 of each file of an installed model; reads them where nobody has said it before.
  std::function<Result<std::vector<std::string>>(const std::string& id)> model_sha256;
  Build build;
  const Clock* clock = nullptr;      // outlives the server
  std::function<uint64_t()> random;  // for ids and for seeds that a request leaves open
  std::shared_ptr<RequestMetrics> metrics = std::make_shared<RequestMetrics>();
};

}  // namespace maru::serve
