// hub/pull.h - brings a model into the store from the first source that has it: fetched, verified,
// and then there all at once by a rename.
//
// app/ calls it, showing the progress. Interrupted at any moment (Ctrl-C, power, full disk), the
// next pull goes on where this one was; HOME/models never holds half a file. Two pulls of one model
// share a lock file: the second waits and then finds the model there. A file of this machine, and
// one in Ollama's store, is linked and not copied.
// Layout: HOME/downloads/<stem>.lock, <stem>/ (download.h, package_fetch.h).
// Threads: pull() is called from one; the fetches start theirs and end them.
#pragma once
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/download.h"
#include "hub/hub_source.h"
#include "hub/pip_source.h"
#include "hub/store.h"

namespace maru::hub {

enum class PullStage { kWaiting, kFetching, kVerifying };

struct PullProgress {
  PullStage stage;
  uint64_t bytes_done;
  uint64_t bytes_total;
  double bytes_per_second = 0;  // since this pull began; 0 = not known yet
  std::optional<double> seconds_left;
};

struct PullRequest {
  std::string name = {};        // in the store; empty: as the source calls it
  std::vector<Source> sources;  // tried in order
  // What must come; empty (0) where nobody knows beforehand.
  uint64_t bytes = 0;
  std::string sha256 = {};
  std::string licence = {};
};

PullRequest request_for(const CatalogueEntry& entry);

struct PullOptions {
  PackageSource& packages;
  HttpTransport& http;
  HubAccess hub = {};
  std::vector<std::filesystem::path> ollama = {};  // folders that may be Ollama's store
  const Clock& clock;
  Wait wait = {};                                             // empty: real_wait()
  std::function<void(const PullProgress&)> on_progress = {};  // about 5 times a second
  std::function<void(const std::string&)> on_note = {};  // one source failed, the next is tried
  std::stop_token stop = {};
};

// Errors: kResourceExhausted (disk), kUnavailable (network), kNotFound, kCorrupt (other bytes than
// expected, or another model of that name is here), kInvalidArgument, kCancelled, kIo. Each says
// what to do; all but kCorrupt keep what was fetched. Of several sources the last one's error.
Result<StoredModel> pull(const Store& store, const PullRequest& request,
                         const PullOptions& options);

}  // namespace maru::hub
