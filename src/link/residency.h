// link/residency.h - which models are in memory, which are on their way there, and which must go.
//
// Pure bookkeeping, without threads, clock or engines: supervisor.cc tells it what happened and
// then does what take() says. A model is loaded when it is wanted first. One that nobody uses goes
// after a while, or earlier where another needs the memory: the longest unused first, never one
// that is in use or pinned. Where nothing can go, the request waits a while and is then refused.
// One model loads at a time: what it takes for its cache depends on what is left.
// Threads: one at a time.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace maru::link {

// An engine that died so often within the window is not started again before the window is over.
inline constexpr size_t kCrashesMax = 5;
inline constexpr int64_t kCrashWindowNs = 60'000'000'000;
// A file that could not be loaded is not tried again before this, unless it changed.
inline constexpr int64_t kFailureRestNs = 5'000'000'000;
// How long a request waits for models in use to make room.
inline constexpr int64_t kMemoryWaitNs = 60'000'000'000;
// Requests that wait for a model; more are refused.
inline constexpr size_t kTicketsMax = 256;
// What an engine takes besides its weights, at least: its program, tables, a small context.
inline constexpr uint64_t kEngineBytesMin = 64 << 20;

struct ResidencyOptions {
  int64_t keep_alive_ns = -1;  // of a model that nobody uses; negative: for ever
  uint64_t bytes_max = 0;      // of all engines together; 0: what the machine has
  // Bytes of memory that the machine has left; 0: unknown. Null: unknown.
  std::function<uint64_t()> available = {};
};

enum class ModelState { kWaiting, kLoading, kReady, kStopping };
std::string_view model_state_name(ModelState state);  // "waiting", "loading", "ready", "stopping"

class Residency {
 public:
  using Ticket = uint64_t;    // of a request
  using EngineId = uint64_t;  // of one life of an engine

  // A model as it lies on disk.
  struct Model {
    std::string name = {};
    uint64_t file_bytes = 0;
    int64_t stamp = 0;  // changes when the file does
    bool pinned = false;
  };

  // Answer: loaded() or failed(). bytes_max: what the engine may take; 0: what the machine has.
  struct Start {
    std::string model;
    EngineId engine = 0;
    uint64_t bytes_max = 0;
  };
  // Answer: stopped().
  struct Stop {
    std::string model;
    EngineId engine = 0;
    std::string reason;
  };
  // The ticket's turn, on the engine of that model; in use until released().
  struct Serve {
    Ticket ticket = 0;
    std::string model;
    EngineId engine = 0;
  };
  struct Refuse {
    Ticket ticket = 0;
    Error error;
  };
  using Act = std::variant<Start, Stop, Serve, Refuse>;

  explicit Residency(ResidencyOptions options) : options_(std::move(options)) {}

  // Requires: now_ns never goes back; a ticket is used once.
  void want(Ticket ticket, const Model& model, int64_t now_ns);
  // A ready engine takes weight_bytes, and as it works up to cache_bytes_max more.
  void loaded(EngineId engine, uint64_t weight_bytes, uint64_t cache_bytes_max, int64_t now_ns);
  // kUnavailable is a crash; anything else is the file's fault.
  void failed(EngineId engine, const Error& error, int64_t now_ns);
  void crashed(EngineId engine, int64_t now_ns);  // of a ready one
  void stopped(EngineId engine, int64_t now_ns);
  void released(EngineId engine, int64_t now_ns);
  // Time has passed: what is due now.
  void look(int64_t now_ns);

  // What is to be done since the last call, in this order.
  std::vector<Act> take();

  struct Status {
    std::string model;
    EngineId engine = 0;  // 0: none yet
    ModelState state = ModelState::kWaiting;
    size_t n_users = 0;    // that use it
    size_t n_waiting = 0;  // that wait for it
    uint64_t bytes = 0;    // that it takes, or needs
    int64_t idle_ns = 0;   // since it was used
    bool pinned = false;
  };
  // Of all that are not absent, by name.
  std::vector<Status> status(int64_t now_ns) const;

 private:
  struct Entry {
    std::optional<ModelState> state = {};  // absent where empty
    EngineId engine = 0;
    uint64_t bytes = 0;            // needed, and once it is loaded the most that it takes
    uint64_t bytes_untouched = 0;  // of these, what the machine still counts as free
    uint64_t file_bytes = 0;
    bool pinned = false;
    size_t n_users = 0;
    int64_t idle_since_ns = 0;
    std::optional<int64_t> no_room_since_ns = {};  // unknown while another loads
    std::vector<Ticket> tickets = {};
    std::vector<int64_t> crashes_ns = {};
    std::optional<Error> failure = {};
    int64_t failed_ns = 0;
    int64_t stamp = 0;
  };
  using Named = std::pair<const std::string, Entry>;

  Named* find(EngineId engine);
  std::optional<Error> refusal(Named& model, int64_t now_ns) const;
  void admit_waiting(int64_t now_ns);
  bool make_room(Named& wanted, uint64_t bytes_free);
  uint64_t bytes_free() const;
  bool has(ModelState state) const;
  void start(Named& model, uint64_t bytes_max);
  void begin_stop(Named& model, std::string reason);
  void refuse_for_ever(Named& model, int64_t now_ns);
  void refuse_all(Entry& entry, const Error& error);
  Error no_room_error(const Named& wanted) const;

  const ResidencyOptions options_;
  std::map<std::string, Entry> models_;  // every one that was ever wanted: installed ones
  std::vector<Act> acts_;
  EngineId last_engine_ = 0;
  size_t n_tickets_ = 0;  // that wait
};

}  // namespace maru::link
