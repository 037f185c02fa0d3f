// link/supervisor.h - one engine for each model that is used: started on first use, again after a
// crash, ended when nobody needs it.
//
// app/ owns one and gives it to serve/. residency.h decides who is in memory; this does what it
// says, on threads of its own. A request that was in flight at two crashes is not tried again: one
// poisoned request must not cost everybody the model. Streams of a dead engine end with an error;
// they are not repeated. Other engines do not notice.
// Threads: any.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "link/client.h"
#include "link/residency.h"

namespace maru::link {

// In how many crashes a prompt may be in flight; each answer that it gets clears it.
inline constexpr size_t kPoisonCrashes = 2;
inline constexpr size_t kSuspectsMax = 256;

// A model as it lies on disk, and how it is loaded.
struct ModelSource {
  Residency::Model model = {};
  LoadRequest load = {};
};

// Who waits for an engine. on_progress: while it loads, on any thread; it must not block.
// on_ready: exactly once, perhaps before want() returns; errors: those of loading, of residency.h,
// and kUnavailable after shutdown().
// The client is in use until its last owner lets go: keep it for one request, then ask again.
struct EngineWaiter {
  LoadProgress on_progress = {};
  std::function<void(Result<std::shared_ptr<Client>>)> on_ready;
};

struct EngineStatus {
  Residency::Status residency = {};
  Loading loading = {};                 // while it loads
  std::shared_ptr<Client> client = {};  // of a ready one; to look at, which is no use of it
};

class Supervisor {
 public:
  using Factory =
      std::function<Result<std::unique_ptr<Client>>(const LoadRequest&, const StartOptions&)>;

  // Requires: clock outlives this, and all clients.
  Supervisor(Factory factory, ResidencyOptions options, const Clock& clock);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  void want(const ModelSource& source, EngineWaiter waiter);
  // The same, and waits.
  Result<std::shared_ptr<Client>> client(const ModelSource& source);

  // Those that run, load, wait for memory or end now, by name. Never waits.
  std::vector<EngineStatus> engines() const;

  // Time has passed. It looks by itself every second; tests that move a clock call it.
  void look();
  // Ends all engines and waits until they are gone; their requests fail, and so do those that wait.
  void shutdown();

 private:
  class Core;
  const std::shared_ptr<Core> core_;
};

}  // namespace maru::link
