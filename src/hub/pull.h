// hub/pull.h - brings a model of the catalogue into the store: fetched, joined, verified, and then
// there all at once by a rename.
//
// app/ calls it, showing the progress. Interrupted at any moment (Ctrl-C, power, full disk), the
// next pull goes on after the last part that was joined; HOME/models never holds half a file.
// Two pulls of one model share a lock file: the second waits and then finds the model there.
// Layout: HOME/downloads/<stem>.lock, <stem>/partial, <stem>/state.json, <stem>/part-NN.whl.
// Threads: pull() is called from one; it starts kParallelFetches of its own and ends them.
#pragma once
#include <functional>
#include <optional>
#include <stop_token>

#include "base/clock.h"
#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/pip_source.h"
#include "hub/store.h"

namespace maru::hub {

inline constexpr size_t kParallelFetches = 3;

enum class PullStage { kWaiting, kFetching, kVerifying };

struct PullProgress {
  PullStage stage;
  uint64_t bytes_done;
  uint64_t bytes_total;
  double bytes_per_second = 0;  // since this pull began; 0 = not known yet
  std::optional<double> seconds_left;
};

struct PullOptions {
  PackageSource& source;
  const Clock& clock;
  std::function<void(const PullProgress&)> on_progress;  // about 5 times a second; may be empty
  std::stop_token stop;
};

// Errors: kResourceExhausted (disk), kUnavailable (network), kCorrupt (other bytes than the
// catalogue's sha256), kCancelled, kIo. Each says what to do; all but kCorrupt keep what was
// fetched.
Result<StoredModel> pull(const Store& store, const CatalogueEntry& entry,
                         const PullOptions& options);

}  // namespace maru::hub
