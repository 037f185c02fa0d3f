#include "link/supervisor.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "link/quarantine.h"

namespace maru::link {

Supervisor::Supervisor(Factory factory, const Clock& clock)
    : factory_(std::move(factory)), clock_(clock), quarantine_(std::make_shared<Quarantine>()) {}

Supervisor::~Supervisor() { shutdown(); }

std::shared_ptr<Client> Supervisor::living(Slot& slot) {
  const std::lock_guard lock(mutex_);
  if (slot.client != nullptr && slot.client->alive()) return slot.client;
  return nullptr;
}

Result<void> Supervisor::check_crashes(Slot& slot, const std::string& path) const {
  const int64_t now_ns = clock_.monotonic_ns();
  std::erase_if(slot.crashes_ns, [&](int64_t at) { return now_ns - at >= kCrashWindowNs; });
  if (slot.crashes_ns.size() < kCrashesMax) return {};
  return Error::unavailable(
      fmt::format("the engine of {} died {} times within {} s; it is tried again after that", path,
                  slot.crashes_ns.size(), kCrashWindowNs / 1'000'000'000));
}

Result<std::shared_ptr<Client>> Supervisor::client(const LoadRequest& load) {
  std::shared_ptr<Slot> slot;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return Error::unavailable("the server is shutting down");
    auto& known = slots_[load.path];
    if (known == nullptr) known = std::make_shared<Slot>();
    slot = known;
  }
  const std::lock_guard starting(slot->starting);
  if (auto client = living(*slot); client != nullptr) return client;
  std::shared_ptr<Client> dead;  // ends after the lock
  {
    const std::lock_guard lock(mutex_);
    dead.swap(slot->client);
  }
  if (dead != nullptr) slot->crashes_ns.push_back(clock_.monotonic_ns());
  dead.reset();
  MARU_TRY_VOID(check_crashes(*slot, load.path));
  auto started = factory_(load);
  if (!started.ok()) {
    if (started.error().code == ErrorCode::kUnavailable) {
      slot->crashes_ns.push_back(clock_.monotonic_ns());
      log_warning("an engine did not start: {}", started.error().message);
    }
    return std::move(started).error();
  }
  auto client = quarantined(std::move(started).value(), quarantine_);
  const std::lock_guard lock(mutex_);
  if (stopped_) return Error::unavailable("the server is shutting down");
  slot->client = client;
  return client;
}

std::vector<std::pair<std::string, std::shared_ptr<Client>>> Supervisor::running() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, std::shared_ptr<Client>>> running;
  for (const auto& [path, slot] : slots_) {
    if (slot->client != nullptr && slot->client->alive()) running.emplace_back(path, slot->client);
  }
  return running;
}

void Supervisor::unload(const std::string& path) {
  std::shared_ptr<Client> client;  // ends after the lock
  {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(path);
    if (found != slots_.end()) client = std::move(found->second->client);
  }
}

void Supervisor::shutdown() {
  std::vector<std::shared_ptr<Client>> clients;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (auto& [path, slot] : slots_) {
      if (slot->client != nullptr) clients.push_back(std::move(slot->client));
    }
  }
  // Requests that were just cancelled may still hold them: dropping them would not wait.
  for (const auto& client : clients) client->close();
}

}  // namespace maru::link
