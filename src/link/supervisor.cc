#include "link/supervisor.h"

#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/log.h"
#include "link/quarantine.h"

namespace maru::link {
namespace {

constexpr std::chrono::seconds kLookEvery{1};

Error stopping_error() { return Error::unavailable("the server is shutting down"); }

}  // namespace

// Shared with the threads that load and end engines, and with whoever uses a client.
class Supervisor::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Factory factory, ResidencyOptions options, const Clock& clock)
      : factory_(std::move(factory)),
        clock_(clock),
        quarantine_(std::make_shared<Quarantine>()),
        residency_(std::move(options)) {}

  void start_looking();
  void want(const ModelSource& source, EngineWaiter waiter);
  std::vector<EngineStatus> engines() const;
  void look();
  void shutdown();

 private:
  using EngineId = Residency::EngineId;
  using Lock = std::unique_lock<std::mutex>;

  // What may come of one act: a call of somebody's function, which happens without the lock.
  void perform(Lock& lock);
  std::function<void()> begin(Residency::Act& act);
  void spawn(std::function<void()> body);
  void load(const std::string& model, EngineId engine, const LoadRequest& request);
  void report(const std::string& model, const Loading& loading);
  void end(EngineId engine, std::shared_ptr<Client> client);
  void find_crashed();
  std::shared_ptr<Client> lease(EngineId engine);
  void release(EngineId engine);

  const Factory factory_;
  const Clock& clock_;
  const std::shared_ptr<Quarantine> quarantine_;
  std::jthread looking_;
  std::stop_source stop_loads_;

  mutable std::mutex mutex_;  // guards what follows; never held while an engine starts or ends
  std::condition_variable_any changed_;
  Residency residency_;
  std::map<std::string, ModelSource> sources_;  // as they were wanted last
  std::map<std::string, Loading> loading_;      // how far those are that load
  std::map<EngineId, std::shared_ptr<Client>> ready_;
  struct Waiting {
    std::string model;
    EngineWaiter waiter;
  };
  std::map<Residency::Ticket, Waiting> waiting_;
  Residency::Ticket last_ticket_ = 0;
  size_t n_threads_ = 0;  // that load or end an engine
  bool stopped_ = false;
};

void Supervisor::Core::start_looking() {
  looking_ = std::jthread([this](const std::stop_token& stop) {
    Lock lock(mutex_);
    while (!changed_.wait_for(lock, stop, kLookEvery, [&] { return stop.stop_requested(); })) {
      if (stop.stop_requested()) return;
      lock.unlock();
      look();
      lock.lock();
    }
  });
}

void Supervisor::Core::want(const ModelSource& source, EngineWaiter waiter) {
  Lock lock(mutex_);
  if (stopped_) {
    lock.unlock();
    return waiter.on_ready(stopping_error());
  }
  find_crashed();
  const Residency::Ticket ticket = ++last_ticket_;
  sources_[source.model.name] = source;
  waiting_.emplace(ticket, Waiting{source.model.name, std::move(waiter)});
  residency_.want(ticket, source.model, clock_.monotonic_ns());
  perform(lock);
}

std::vector<EngineStatus> Supervisor::Core::engines() const {
  const Lock lock(mutex_);
  std::vector<EngineStatus> all;
  for (Residency::Status& status : residency_.status(clock_.monotonic_ns())) {
    EngineStatus engine;
    if (const auto found = loading_.find(status.model); found != loading_.end()) {
      engine.loading = found->second;
    }
    const auto found = ready_.find(status.engine);
    if (found != ready_.end() && found->second->alive()) engine.client = found->second;
    engine.residency = std::move(status);
    all.push_back(std::move(engine));
  }
  return all;
}

void Supervisor::Core::look() {
  Lock lock(mutex_);
  if (stopped_) return;
  find_crashed();
  residency_.look(clock_.monotonic_ns());
  perform(lock);
}

// Requires: the lock.
void Supervisor::Core::find_crashed() {
  for (auto engine = ready_.begin(); engine != ready_.end();) {
    if (engine->second->alive()) {
      ++engine;
      continue;
    }
    residency_.crashed(engine->first, clock_.monotonic_ns());
    // Its end is waited for elsewhere: its thread may be about to tell its users.
    spawn([client = std::move(engine->second)]() mutable { client->close(); });
    engine = ready_.erase(engine);
  }
}

// Does what is to be done, until there is nothing more.
void Supervisor::Core::perform(Lock& lock) {
  for (auto acts = residency_.take(); !acts.empty(); acts = residency_.take()) {
    std::vector<std::function<void()>> calls;
    for (Residency::Act& act : acts) {
      if (auto call = begin(act)) calls.push_back(std::move(call));
    }
    lock.unlock();
    for (const auto& call : calls) call();
    calls.clear();  // and the clients in them: letting one go takes the lock
    lock.lock();
  }
}

std::function<void()> Supervisor::Core::begin(Residency::Act& act) {
  const auto take_waiter = [&](Residency::Ticket ticket) {
    const auto found = waiting_.find(ticket);
    CHECK(found != waiting_.end());
    EngineWaiter waiter = std::move(found->second.waiter);
    waiting_.erase(found);
    return waiter;
  };
  if (auto* start = std::get_if<Residency::Start>(&act)) {
    log_info("loading {}", start->model);
    loading_[start->model] = {};
    LoadRequest request = sources_.at(start->model).load;
    request.memory_bytes_max = start->bytes_max;
    spawn([self = shared_from_this(), model = start->model, engine = start->engine,
           request = std::move(request)] { self->load(model, engine, request); });
  } else if (auto* stop = std::get_if<Residency::Stop>(&act)) {
    log_info("unloading {}: {}", stop->model, stop->reason);
    const auto found = ready_.find(stop->engine);
    CHECK(found != ready_.end());
    spawn([self = shared_from_this(), engine = stop->engine,
           client = std::move(found->second)]() mutable { self->end(engine, std::move(client)); });
    ready_.erase(found);
  } else if (auto* serve = std::get_if<Residency::Serve>(&act)) {
    return [waiter = take_waiter(serve->ticket), client = lease(serve->engine)] {
      waiter.on_ready(client);
    };
  } else {
    auto& refuse = std::get<Residency::Refuse>(act);
    return [waiter = take_waiter(refuse.ticket), error = std::move(refuse.error)] {
      waiter.on_ready(error);
    };
  }
  return {};
}

// Requires: the lock.
void Supervisor::Core::spawn(std::function<void()> body) {
  ++n_threads_;
  std::thread([self = shared_from_this(), body = std::move(body)]() mutable {
    body();
    body = nullptr;
    const Lock lock(self->mutex_);
    --self->n_threads_;
    self->changed_.notify_all();
  }).detach();
}

void Supervisor::Core::load(const std::string& model, EngineId engine, const LoadRequest& request) {
  const StartOptions options = {
      .on_progress = [&](const Loading& loading) { report(model, loading); },
      .stop = stop_loads_.get_token()};
  auto started = factory_(request, options);
  std::shared_ptr<Client> client;
  if (started.ok()) client = quarantined(std::move(started).value(), quarantine_);
  Lock lock(mutex_);
  loading_.erase(model);
  if (stopped_) {
    lock.unlock();
    if (client != nullptr) client->close();
    return;
  }
  const int64_t now_ns = clock_.monotonic_ns();
  if (client != nullptr) {
    const ModelCard& card = client->card();
    log_info("{} is loaded", model);
    ready_[engine] = std::move(client);
    residency_.loaded(engine, card.weight_bytes, card.cache_bytes_max, now_ns);
  } else {
    log_warning("{} was not loaded: {}", model, started.error().message);
    residency_.failed(engine, started.error(), now_ns);
  }
  perform(lock);
}

void Supervisor::Core::report(const std::string& model, const Loading& loading) {
  std::vector<LoadProgress> calls;
  {
    const Lock lock(mutex_);
    if (const auto found = loading_.find(model); found != loading_.end()) found->second = loading;
    for (const auto& [ticket, waiting] : waiting_) {
      if (waiting.model == model && waiting.waiter.on_progress) {
        calls.push_back(waiting.waiter.on_progress);
      }
    }
  }
  for (const LoadProgress& call : calls) call(loading);
}

void Supervisor::Core::end(EngineId engine, std::shared_ptr<Client> client) {
  client->close();
  client.reset();
  Lock lock(mutex_);
  residency_.stopped(engine, clock_.monotonic_ns());
  perform(lock);
}

// A client that counts as use of the engine while anybody has it.
std::shared_ptr<Client> Supervisor::Core::lease(EngineId engine) {
  const std::shared_ptr<Client>& client = ready_.at(engine);
  return {client.get(), [self = weak_from_this(), engine, held = client](Client*) mutable {
            held.reset();
            if (const auto core = self.lock()) core->release(engine);
          }};
}

void Supervisor::Core::release(EngineId engine) {
  Lock lock(mutex_);
  if (stopped_) return;
  find_crashed();
  residency_.released(engine, clock_.monotonic_ns());
  perform(lock);
}

void Supervisor::Core::shutdown() {
  looking_.request_stop();
  Lock lock(mutex_);
  stopped_ = true;
  auto waiting = std::exchange(waiting_, {});
  auto ready = std::exchange(ready_, {});
  lock.unlock();
  stop_loads_.request_stop();
  for (const auto& [ticket, each] : waiting) each.waiter.on_ready(stopping_error());
  // Requests that were just cancelled may still hold them: dropping them would not wait.
  for (const auto& [engine, client] : ready) client->close();
  ready.clear();
  lock.lock();
  changed_.wait(lock, [&] { return n_threads_ == 0; });
  lock.unlock();
  if (looking_.joinable()) looking_.join();
}

Supervisor::Supervisor(Factory factory, ResidencyOptions options, const Clock& clock)
    : core_(std::make_shared<Core>(std::move(factory), std::move(options), clock)) {
  core_->start_looking();
}

Supervisor::~Supervisor() { shutdown(); }

void Supervisor::want(const ModelSource& source, EngineWaiter waiter) {
  core_->want(source, std::move(waiter));
}

Result<std::shared_ptr<Client>> Supervisor::client(const ModelSource& source) {
  std::promise<Result<std::shared_ptr<Client>>> promise;
  auto answer = promise.get_future();
  want(source, {.on_ready = [&](Result<std::shared_ptr<Client>> client) {
         promise.set_value(std::move(client));
       }});
  return answer.get();
}

std::vector<EngineStatus> Supervisor::engines() const { return core_->engines(); }
void Supervisor::look() { core_->look(); }
void Supervisor::shutdown() { core_->shutdown(); }

}  // namespace maru::link
