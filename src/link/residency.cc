#include "link/residency.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace maru::link {
namespace {

constexpr uint64_t kNoLimit = UINT64_MAX;

bool is_in_memory(const std::optional<ModelState>& state) {
  return state && *state != ModelState::kWaiting;
}

uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

std::string mib(uint64_t bytes) { return fmt::format("{} MiB", (bytes + (1 << 20) - 1) >> 20); }

}  // namespace

std::string_view model_state_name(ModelState state) {
  switch (state) {
    case ModelState::kWaiting:
      return "waiting";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kReady:
      return "ready";
    case ModelState::kStopping:
      return "stopping";
  }
  return "";
}

void Residency::want(Ticket ticket, const Model& model, int64_t now_ns) {
  Named& named = *models_.try_emplace(model.name).first;
  Entry& entry = named.second;
  entry.pinned = model.pinned;
  entry.file_bytes = model.file_bytes;
  if (entry.stamp != model.stamp) entry.failure.reset();
  entry.stamp = model.stamp;
  if (entry.state == ModelState::kReady) {
    ++entry.n_users;
    acts_.push_back(Serve{ticket, model.name, entry.engine});
    return;
  }
  if (auto error = refusal(named, now_ns)) {
    acts_.push_back(Refuse{ticket, *std::move(error)});
    return;
  }
  if (!entry.state) {
    entry.state = ModelState::kWaiting;
    entry.bytes = entry.file_bytes + kEngineBytesMin;
  }
  if (entry.tickets.empty()) entry.no_room_since_ns.reset();
  entry.tickets.push_back(ticket);
  ++n_tickets_;
  admit_waiting(now_ns);
}

// Why a request for a model that is not ready is refused at once.
std::optional<Error> Residency::refusal(Named& model, int64_t now_ns) const {
  Entry& entry = model.second;
  if (n_tickets_ >= kTicketsMax) {
    return Error::exhausted("too many requests wait for models to be loaded");
  }
  if (entry.state) return std::nullopt;
  std::erase_if(entry.crashes_ns, [&](int64_t at) { return now_ns - at >= kCrashWindowNs; });
  if (entry.crashes_ns.size() >= kCrashesMax) {
    return Error::unavailable(
        fmt::format("the engine of {} died {} times within {} s; it is tried again after that",
                    model.first, entry.crashes_ns.size(), kCrashWindowNs / 1'000'000'000));
  }
  if (entry.failure && now_ns - entry.failed_ns < kFailureRestNs) return entry.failure;
  return std::nullopt;
}

void Residency::loaded(EngineId engine, uint64_t weight_bytes, uint64_t cache_bytes_max,
                       int64_t now_ns) {
  Named* model = find(engine);
  CHECK(model != nullptr && model->second.state == ModelState::kLoading);
  Entry& entry = model->second;
  entry.state = ModelState::kReady;
  entry.bytes = weight_bytes + cache_bytes_max;
  entry.bytes_untouched = cache_bytes_max;
  entry.failure.reset();
  entry.n_users = entry.tickets.size();
  entry.idle_since_ns = now_ns;
  n_tickets_ -= entry.tickets.size();
  for (const Ticket ticket : std::exchange(entry.tickets, {})) {
    acts_.push_back(Serve{ticket, model->first, engine});
  }
  look(now_ns);
}

void Residency::failed(EngineId engine, const Error& error, int64_t now_ns) {
  Named* model = find(engine);
  CHECK(model != nullptr && model->second.state == ModelState::kLoading);
  Entry& entry = model->second;
  entry.state.reset();
  entry.engine = 0;
  if (error.code == ErrorCode::kUnavailable) {
    entry.crashes_ns.push_back(now_ns);
  } else {
    entry.failure = error;
    entry.failed_ns = now_ns;
  }
  refuse_all(entry, error);
  admit_waiting(now_ns);
}

void Residency::crashed(EngineId engine, int64_t now_ns) {
  Named* model = find(engine);
  if (model == nullptr || model->second.state != ModelState::kReady) return;
  Entry& entry = model->second;
  entry.crashes_ns.push_back(now_ns);
  entry.state.reset();
  entry.engine = 0;
  entry.n_users = 0;
  admit_waiting(now_ns);
}

void Residency::stopped(EngineId engine, int64_t now_ns) {
  Named* model = find(engine);
  CHECK(model != nullptr && model->second.state == ModelState::kStopping);
  Entry& entry = model->second;
  entry.state.reset();
  entry.engine = 0;
  if (!entry.tickets.empty()) {  // wanted again in the meantime
    entry.state = ModelState::kWaiting;
    entry.bytes = entry.file_bytes + kEngineBytesMin;
  }
  admit_waiting(now_ns);
}

void Residency::released(EngineId engine, int64_t now_ns) {
  Named* model = find(engine);
  // An engine that crashed has no users any more.
  if (model == nullptr || model->second.state != ModelState::kReady) return;
  Entry& entry = model->second;
  CHECK(entry.n_users > 0);
  --entry.n_users;
  entry.idle_since_ns = now_ns;
  if (entry.n_users == 0) look(now_ns);
}

void Residency::look(int64_t now_ns) {
  for (Named& model : models_) {
    Entry& entry = model.second;
    const bool is_idle = entry.state == ModelState::kReady && entry.n_users == 0 && !entry.pinned;
    if (is_idle && options_.keep_alive_ns >= 0 &&
        now_ns - entry.idle_since_ns >= options_.keep_alive_ns) {
      begin_stop(model, "nobody used it for a while");
    }
    if (entry.state == ModelState::kWaiting && entry.no_room_since_ns &&
        now_ns - *entry.no_room_since_ns >= kMemoryWaitNs) {
      entry.state.reset();
      refuse_all(entry, no_room_error(model));
    }
  }
  admit_waiting(now_ns);
}

// Starts who waits longest and has room, or stops what must go for it.
void Residency::admit_waiting(int64_t now_ns) {
  std::vector<Named*> waiting;
  for (Named& model : models_) {
    if (model.second.state == ModelState::kWaiting) waiting.push_back(&model);
  }
  std::ranges::sort(waiting, {}, [](const Named* model) { return model->second.tickets.front(); });
  const bool is_limited = options_.bytes_max != 0;
  for (Named* model : waiting) {
    Entry& entry = model->second;
    if (is_limited && entry.bytes > options_.bytes_max) {
      refuse_for_ever(*model, now_ns);
      continue;
    }
    if (has(ModelState::kLoading)) {
      entry.no_room_since_ns.reset();
      continue;
    }
    const bool is_alone = !has(ModelState::kReady) && !has(ModelState::kStopping);
    const uint64_t free = bytes_free();
    if (entry.bytes <= free) {
      start(*model, free == kNoLimit ? 0 : free);
    } else if (is_alone && !is_limited) {
      start(*model, 0);  // the engine itself finds out whether there is room
    } else if (make_room(*model, free)) {
      return;  // and goes on when that has stopped
    } else if (!entry.no_room_since_ns) {
      entry.no_room_since_ns = now_ns;
    }
  }
}

void Residency::start(Named& model, uint64_t bytes_max) {
  Entry& entry = model.second;
  entry.state = ModelState::kLoading;
  entry.engine = ++last_engine_;
  entry.no_room_since_ns.reset();
  acts_.push_back(Start{model.first, entry.engine, bytes_max});
}

void Residency::refuse_for_ever(Named& model, int64_t now_ns) {
  Entry& entry = model.second;
  entry.state.reset();
  entry.failed_ns = now_ns;
  entry.failure = Error::unsupported(
      fmt::format("{} needs at least {} of memory; the engines of this server may use {}",
                  model.first, mib(entry.bytes), mib(options_.bytes_max)));
  entry.failure->param = "model";
  refuse_all(entry, *entry.failure);
}

bool Residency::has(ModelState state) const {
  return std::ranges::any_of(models_,
                             [&](const Named& model) { return model.second.state == state; });
}

// True where what is ending, or was now told to end, is enough.
bool Residency::make_room(Named& wanted, uint64_t bytes_free) {
  std::vector<Named*> idle;
  for (Named& model : models_) {
    const Entry& entry = model.second;
    if (entry.state == ModelState::kStopping) bytes_free += entry.bytes;
    if (entry.state == ModelState::kReady && entry.n_users == 0 && !entry.pinned) {
      idle.push_back(&model);
    }
  }
  std::ranges::sort(idle, {}, [](const Named* model) {
    return std::pair<int64_t, std::string_view>(model->second.idle_since_ns, model->first);
  });
  size_t n_victims = 0;
  while (bytes_free < wanted.second.bytes && n_victims < idle.size()) {
    bytes_free += idle[n_victims++]->second.bytes;
  }
  if (bytes_free < wanted.second.bytes) return false;
  for (size_t i = 0; i < n_victims; ++i) begin_stop(*idle[i], "to make room for " + wanted.first);
  return true;
}

// What a further engine may take: of the limit, and of what the machine has, where those that run
// may still fill their caches and those that load have taken nothing yet.
uint64_t Residency::bytes_free() const {
  uint64_t bytes_taken = 0, bytes_to_come = 0;
  for (const auto& [name, entry] : models_) {
    if (!is_in_memory(entry.state)) continue;
    bytes_taken += entry.bytes;
    bytes_to_come += entry.state == ModelState::kLoading ? entry.bytes : entry.bytes_untouched;
  }
  const uint64_t limit = options_.bytes_max == 0 ? kNoLimit : options_.bytes_max;
  const uint64_t available = options_.available ? options_.available() : 0;
  return std::min(less(limit, bytes_taken),
                  available == 0 ? kNoLimit : less(available, bytes_to_come));
}

void Residency::begin_stop(Named& model, std::string reason) {
  model.second.state = ModelState::kStopping;
  acts_.push_back(Stop{model.first, model.second.engine, std::move(reason)});
}

void Residency::refuse_all(Entry& entry, const Error& error) {
  n_tickets_ -= entry.tickets.size();
  for (const Ticket ticket : std::exchange(entry.tickets, {})) {
    acts_.push_back(Refuse{ticket, error});
  }
}

Error Residency::no_room_error(const Named& wanted) const {
  std::string others;
  for (const auto& [name, entry] : models_) {
    if (!is_in_memory(entry.state)) continue;
    const char* why = entry.pinned ? "is pinned" : "is in use";
    others += fmt::format("{}{} ({}) {}", others.empty() ? "" : ", ", name, mib(entry.bytes), why);
  }
  return Error::unavailable(fmt::format("{} needs at least {} of memory and {} are free: {}",
                                        wanted.first, mib(wanted.second.bytes), mib(bytes_free()),
                                        others.empty() ? "other programs have the rest" : others));
}

std::vector<Residency::Act> Residency::take() { return std::exchange(acts_, {}); }

Residency::Named* Residency::find(EngineId engine) {
  if (engine == 0) return nullptr;
  const auto found = std::ranges::find_if(
      models_, [&](const Named& model) { return model.second.engine == engine; });
  return found == models_.end() ? nullptr : &*found;
}

std::vector<Residency::Status> Residency::status(int64_t now_ns) const {
  std::vector<Status> all;
  for (const auto& [name, entry] : models_) {
    if (!entry.state) continue;
    const bool is_idle = *entry.state == ModelState::kReady && entry.n_users == 0;
    all.push_back({.model = name,
                   .engine = entry.engine,
                   .state = *entry.state,
                   .n_users = entry.n_users,
                   .n_waiting = entry.tickets.size(),
                   .bytes = entry.bytes,
                   .idle_ns = is_idle ? now_ns - entry.idle_since_ns : 0,
                   .pinned = entry.pinned});
  }
  return all;
}

}  // namespace maru::link
