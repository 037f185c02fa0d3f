// link/supervisor.h - keeps one engine per model: starts it on first use, again after a crash.
//
// app/ owns one and gives it to serve/. An engine that keeps dying is left alone for a while, and a
// request that was in flight at two crashes is not tried again: one poisoned request must not cost
// everybody the model. Streams of a dead engine end with an error; they are not repeated.
// Threads: any.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "link/client.h"

namespace maru::link {

// An engine that died so often within the window is not started again before the window is over.
inline constexpr size_t kCrashesMax = 5;
inline constexpr int64_t kCrashWindowNs = 60'000'000'000;
// In how many crashes a prompt may be in flight; each answer that it gets clears it.
inline constexpr size_t kPoisonCrashes = 2;
inline constexpr size_t kSuspectsMax = 256;

class Quarantine;

class Supervisor {
 public:
  using Factory = std::function<Result<std::unique_ptr<Client>>(const LoadRequest&)>;

  // Requires: clock outlives this.
  Supervisor(Factory factory, const Clock& clock);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // The engine that holds load.path; waits while it starts, whoever started it. The rest of `load`
  // counts for the start only. Keep the client for one request, then ask again.
  // Errors: those of loading; kUnavailable where it died too often, or after shutdown().
  Result<std::shared_ptr<Client>> client(const LoadRequest& load);

  // The engines that run now, by path. Never waits.
  std::vector<std::pair<std::string, std::shared_ptr<Client>>> running() const;

  // Lets go of an engine: it ends when its last user lets go too.
  void unload(const std::string& path);
  // Ends all engines and waits until they are gone; their requests fail.
  void shutdown();

 private:
  struct Slot {
    std::mutex starting;              // held while an engine starts
    std::shared_ptr<Client> client;   // guarded by mutex_
    std::vector<int64_t> crashes_ns;  // guarded by `starting`
  };

  std::shared_ptr<Client> living(Slot& slot);
  Result<void> check_crashes(Slot& slot, const std::string& path) const;

  const Factory factory_;
  const Clock& clock_;
  const std::shared_ptr<Quarantine> quarantine_;
  mutable std::mutex mutex_;  // guards what follows; never held while an engine starts
  std::map<std::string, std::shared_ptr<Slot>> slots_;
  bool stopped_ = false;
};

}  // namespace maru::link
