#include "link/socket_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/log.h"
#include "link/frame.h"
#include "link/watchdog.h"
#include "link/wire.h"

namespace maru::link {
namespace {

constexpr RequestId kHelloId = 0;
constexpr RequestId kLoadId = 1;
constexpr RequestId kPingId = kLoadId;  // free once the model is loaded
constexpr RequestId kFirstId = 2;

// An engine that takes nothing for so long is taken for dead: its clients must not hang with it.
constexpr timeval kSendTimeout{.tv_sec = 10, .tv_usec = 0};

// Texts of one embed_all() that are with the engine at once: enough for several of its steps, and
// far below what it lets wait.
constexpr size_t kEmbedInFlightMax = 64;

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

Error stuck_error(const char* outcome) {
  return Error::unavailable(fmt::format("the engine made no progress for {} s: {}",
                                        kStuckAfterNs / 1'000'000'000, outcome));
}

// Takes one event of a request; true when it was the last. Failed is always the last.
using Handler = std::function<bool(EventBody&&)>;

// Shared by the client and its reader thread, so that either may be the last to go.
class Core {
 public:
  explicit Core(const StartOptions& start)
      : look_every_ms_(start.look_every_ms),
        watchdog_(start.clock != nullptr ? *start.clock : system_clock()),
        wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    CHECK(wake_fd_ >= 0);
  }
  ~Core() { ::close(wake_fd_); }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // The reader thread: everything from connecting to the last sink.
  void run(const Connector& connector, const LoadRequest& load, const LoadProgress& on_progress,
           std::promise<Result<ModelCard>> loaded);

  RequestId submit(const Command& command, Handler handler);
  void cancel(RequestId id);
  void stop();
  bool alive() const { return alive_.load(); }

 private:
  Result<ModelCard> greet(const LoadRequest& load, const LoadProgress& on_progress);
  Result<EventBody> read_answer(RequestId id);
  Result<void> send(RequestId id, const Command& command);
  void read_events(const std::string& path);
  Result<bool> read_one();
  bool busy();
  bool watch();
  void dispatch(RequestId id, EventBody event);
  void fail_refused();
  void die(const Error& error);
  void wait_for_wake();
  void wake();

  const int look_every_ms_;
  Watchdog watchdog_;  // of the reader thread
  const int wake_fd_;
  int fd_ = -1;  // set before alive_, closed under both mutexes after it
  std::unique_ptr<Peer> peer_;
  std::string payload_;
  std::atomic<bool> alive_{false};
  std::atomic<bool> stopping_{false};
  std::mutex write_mutex_;  // one frame at a time; taken before mutex_
  std::mutex mutex_;        // guards what follows
  RequestId next_id_ = kFirstId;
  std::map<RequestId, std::shared_ptr<Handler>> pending_;
  std::vector<std::pair<RequestId, Error>> refused_;  // to be failed by the reader thread
  std::set<RequestId> stuck_;                         // cancelled by the watchdog
  Error death_ = Error::unavailable("the engine is gone");
};

Result<void> Core::send(RequestId id, const Command& command) {
  const std::string payload = encode_command(id, command);
  const std::lock_guard lock(write_mutex_);
  if (fd_ < 0) return Error::unavailable("the engine is gone");
  auto written = write_frame(fd_, payload);
  if (!written.ok() && written.error().code != ErrorCode::kResourceExhausted) {
    ::shutdown(fd_, SHUT_RDWR);  // there may be half a frame in the stream: the reader ends it
  }
  return written;
}

Result<EventBody> Core::read_answer(RequestId id) {
  MARU_TRY(got_frame, read_frame(fd_, payload_));
  if (!got_frame) return Error::unavailable("the engine closed the connection");
  MARU_TRY(envelope, open_frame(payload_));
  if (envelope.id != id) return Error::corrupt("the engine answered under a wrong id");
  MARU_TRY(event, decode_event(envelope));
  if (auto* failed = std::get_if<Failed>(&event)) return std::move(failed->error);
  return event;
}

Result<ModelCard> Core::greet(const LoadRequest& load, const LoadProgress& on_progress) {
  MARU_TRY_VOID(send(kHelloId, Hello{}));
  MARU_TRY(greeting, read_answer(kHelloId));
  const auto* hello = std::get_if<Hello>(&greeting);
  if (hello == nullptr || hello->version != kProtocolVersion) {
    return Error::corrupt("the engine speaks another version of the protocol");
  }
  MARU_TRY_VOID(send(kLoadId, load));
  MARU_TRY(answer, read_answer(kLoadId));
  while (const auto* loading = std::get_if<Loading>(&answer)) {
    if (on_progress) on_progress(*loading);
    MARU_TRY(next, read_answer(kLoadId));
    answer = std::move(next);
  }
  auto* card = std::get_if<ModelCard>(&answer);
  if (card == nullptr) return Error::corrupt("the engine answered Load with something else");
  return std::move(*card);
}

void Core::run(const Connector& connector, const LoadRequest& load, const LoadProgress& on_progress,
               std::promise<Result<ModelCard>> loaded) {
  auto connection = connector();
  if (!connection.ok()) {
    loaded.set_value(std::move(connection).error());
    return;
  }
  {
    const std::lock_guard write_lock(write_mutex_);
    fd_ = connection->fd;
    if (stopping_.load()) ::shutdown(fd_, SHUT_RDWR);
  }
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof kSendTimeout);
  peer_ = std::move(connection->peer);
  auto card = greet(load, on_progress);
  if (!card.ok()) {
    {
      const std::lock_guard write_lock(write_mutex_);
      ::close(fd_);
      fd_ = -1;
    }
    const std::string end = peer_->wait_end();
    Error error = std::move(card).error();
    // An engine that reports its error ends in good order; one that died says nothing.
    if (error.code == ErrorCode::kUnavailable) {
      error.message = fmt::format("{} while loading {}", end, load.path);
    }
    loaded.set_value(std::move(error));
    return;
  }
  alive_ = true;
  loaded.set_value(std::move(card));
  read_events(load.path);
  while (!stopping_.load()) wait_for_wake();
  fail_refused();
}

void Core::wait_for_wake() {
  pollfd wake{.fd = wake_fd_, .events = POLLIN, .revents = 0};
  ::poll(&wake, 1, -1);
  fail_refused();
}

// Until the engine is gone or the client stops.
void Core::read_events(const std::string& path) {
  bool was_busy = false;
  bool stuck = false;
  while (!stopping_.load()) {
    const bool is_busy = busy();
    if (is_busy != was_busy) watchdog_.rest();
    was_busy = is_busy;
    if (is_busy && !watch()) {
      stuck = true;
      break;
    }
    pollfd fds[2] = {{.fd = fd_, .events = POLLIN, .revents = 0},
                     {.fd = wake_fd_, .events = POLLIN, .revents = 0}};
    if (::poll(fds, 2, is_busy ? look_every_ms_ : -1) <= 0) continue;  // time to look, or EINTR
    if (fds[1].revents != 0) fail_refused();
    if (fds[0].revents == 0) continue;
    const auto more = read_one();
    if (!more.ok() && more.error().code == ErrorCode::kCorrupt) {
      log_error("engine broke the protocol: {}", more.error().message);
    }
    if (!more.ok() || !*more) break;
  }
  const bool stopped = stopping_.load();
  {
    const std::lock_guard write_lock(write_mutex_);
    ::close(fd_);
    fd_ = -1;
  }
  const std::string end = peer_->wait_end();
  if (!stopped) log_warning("{}: {}", path, stuck ? stuck_error("ended").message : end);
  die(stuck ? stuck_error("it was ended, and starts again with the next request")
            : Error::unavailable(stopped ? "the engine was shut down" : end));
}

bool Core::busy() {
  const std::lock_guard lock(mutex_);
  return !pending_.empty();
}

// False where the engine is given up.
bool Core::watch() {
  std::vector<RequestId> cancelled;
  switch (watchdog_.look()) {
    case Watchdog::Act::kNothing:
      return true;
    case Watchdog::Act::kKill:
      return false;
    case Watchdog::Act::kPing: {
      // Not sent means that the stream is broken, which the next read finds out.
      [[maybe_unused]] const auto sent = send(kPingId, PingRequest{});
      return true;
    }
    case Watchdog::Act::kCancel: {
      const std::lock_guard lock(mutex_);
      for (const auto& [id, handler] : pending_) cancelled.push_back(id);
      stuck_.insert(cancelled.begin(), cancelled.end());
    }
  }
  log_warning("{}", stuck_error("cancelling what runs").message);
  for (const RequestId id : cancelled) cancel(id);
  return true;
}

Result<bool> Core::read_one() {
  MARU_TRY(got_frame, read_frame(fd_, payload_));
  if (!got_frame) return false;
  MARU_TRY(envelope, open_frame(payload_));
  auto event = decode_event(envelope);
  if (!event.ok()) return Error::corrupt(event.error().message);
  if (const auto* pong = std::get_if<Pong>(&*event)) {
    watchdog_.pong(pong->n_work);
    return true;
  }
  watchdog_.progress();
  dispatch(envelope.id, std::move(event).value());
  return true;
}

void Core::dispatch(RequestId id, EventBody event) {
  std::shared_ptr<Handler> handler;
  {
    const std::lock_guard lock(mutex_);
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    handler = found->second;
    const bool gave_up = std::holds_alternative<Done>(event) && stuck_.contains(id);
    if (gave_up) event = Failed{stuck_error("the request was cancelled")};
  }
  if (!(*handler)(std::move(event))) return;
  const std::lock_guard lock(mutex_);
  pending_.erase(id);
  stuck_.erase(id);
}

void Core::fail_refused() {
  uint64_t ignored = 0;
  while (::read(wake_fd_, &ignored, sizeof ignored) > 0) {
  }
  std::vector<std::pair<RequestId, Error>> refused;
  {
    const std::lock_guard lock(mutex_);
    refused.swap(refused_);
  }
  for (auto& [id, error] : refused) dispatch(id, Failed{std::move(error)});
}

void Core::die(const Error& error) {
  std::map<RequestId, std::shared_ptr<Handler>> orphans;
  {
    const std::lock_guard lock(mutex_);
    alive_ = false;
    death_ = error;
    orphans.swap(pending_);
    refused_.clear();
  }
  for (auto& [id, handler] : orphans) (*handler)(Failed{error});
}

RequestId Core::submit(const Command& command, Handler handler) {
  RequestId id = 0;
  bool sendable = false;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    id = next_id_++;
    first = pending_.empty();
    pending_.emplace(id, std::make_shared<Handler>(std::move(handler)));
    sendable = alive_;
    if (!sendable) refused_.emplace_back(id, death_);
  }
  if (first) wake();  // from here on the reader looks at the clock
  if (sendable) {
    auto sent = send(id, command);
    // Where the stream is broken, die() fails this request with all others.
    if (sent.ok() || sent.error().code != ErrorCode::kResourceExhausted) return id;
    const std::lock_guard lock(mutex_);
    refused_.emplace_back(id, std::move(sent).error());
  }
  wake();
  return id;
}

void Core::cancel(RequestId id) {
  {
    const std::lock_guard lock(mutex_);
    if (!pending_.contains(id)) return;
  }
  // Not sent means that the stream is broken, and the request fails by that.
  [[maybe_unused]] const auto sent = send(id, CancelRequest{});
}

void Core::stop() {
  stopping_ = true;
  {
    const std::lock_guard lock(write_mutex_);
    if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);  // ends a read of half a frame too
  }
  wake();
}

void Core::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_fd_, &one, sizeof one);
}

class SocketClient final : public Client {
 public:
  SocketClient(std::shared_ptr<Core> core, std::thread reader, ModelCard card)
      : core_(std::move(core)),
        reader_(std::move(reader)),
        reader_id_(reader_.get_id()),
        card_(std::move(card)) {}

  ~SocketClient() override {
    if (reader_.get_id() == std::this_thread::get_id()) {
      core_->stop();
      reader_.detach();  // the last owner let go inside a sink; the thread ends after it
    } else {
      close();
    }
  }

  void close() override {
    CHECK(reader_id_ != std::this_thread::get_id());
    core_->stop();
    const std::lock_guard lock(close_mutex_);  // whoever comes second waits for the first
    if (reader_.joinable()) reader_.join();
  }

  RequestId generate(GenerateRequest request, GenerateSink sink) override {
    return core_->submit(request, [sink = std::move(sink)](EventBody&& event) {
      if (auto* started = std::get_if<Started>(&event)) {
        sink(std::move(*started));
      } else if (auto* progress = std::get_if<link::Progress>(&event)) {
        sink(*progress);
      } else if (auto* delta = std::get_if<Delta>(&event)) {
        sink(std::move(*delta));
      } else if (auto* done = std::get_if<Done>(&event)) {
        sink(std::move(*done));
        return true;
      } else {
        auto* failed = std::get_if<Failed>(&event);
        sink(failed != nullptr ? std::move(*failed)
                               : Failed{Error::internal("the engine sent a foreign event")});
        return true;
      }
      return false;
    });
  }

  RequestId start_embed(EmbedRequest request, EmbedSink sink) override {
    return submit<EmbedResult>(std::move(request), take_embedding, std::move(sink));
  }

  void cancel(RequestId id) override { core_->cancel(id); }

  Result<ScoreResult> score(const ScoreRequest& request) override {
    return call<ScoreResult>(request, [](ScoreResult& result, EventBody& event) {
      if (auto* row = std::get_if<engine::ScoreRow>(&event)) {
        result.top.push_back(std::move(row->top));
        return Progress::kMore;
      }
      auto* done = std::get_if<engine::ScoreDone>(&event);
      if (done == nullptr) return Progress::kForeign;
      result.nlls = std::move(done->nlls);
      double sum = 0;
      for (const double nll : result.nlls) sum += nll;
      if (!result.nlls.empty()) result.nll = sum / static_cast<double>(result.nlls.size());
      return Progress::kDone;
    });
  }

  std::vector<Result<EmbedResult>> embed_all(std::vector<EmbedRequest> requests) override {
    std::vector<Result<EmbedResult>> results;
    results.reserve(requests.size());
    std::deque<std::future<Result<EmbedResult>>> in_flight;
    for (EmbedRequest& request : requests) {
      if (in_flight.size() == kEmbedInFlightMax) {
        results.push_back(in_flight.front().get());
        in_flight.pop_front();
      }
      in_flight.push_back(ask<EmbedResult>(std::move(request), take_embedding));
    }
    for (auto& answer : in_flight) results.push_back(answer.get());
    return results;
  }

  Result<std::vector<TokenId>> tokenize(const TokenizeRequest& request) override {
    return call<std::vector<TokenId>>(request, [](std::vector<TokenId>& ids, EventBody& event) {
      auto* answer = std::get_if<TokenIds>(&event);
      if (answer == nullptr) return Progress::kForeign;
      ids = std::move(answer->ids);
      return Progress::kDone;
    });
  }

  Result<std::string> detokenize(const std::vector<TokenId>& ids) override {
    return call<std::string>(DetokenizeRequest{ids}, take_bytes);
  }

  Result<std::string> render(const RenderRequest& request) override {
    return call<std::string>(request, take_bytes);
  }

  Result<EngineStats> stats() override {
    return call<EngineStats>(StatsRequest{}, [](EngineStats& stats, EventBody& event) {
      auto* answer = std::get_if<EngineStats>(&event);
      if (answer == nullptr) return Progress::kForeign;
      stats = *answer;
      return Progress::kDone;
    });
  }

  const ModelCard& card() const override { return card_; }
  bool alive() const override { return core_->alive(); }

 private:
  enum class Progress { kMore, kDone, kForeign };

  static Progress take_bytes(std::string& out, EventBody& event) {
    auto* answer = std::get_if<Bytes>(&event);
    if (answer == nullptr) return Progress::kForeign;
    out = std::move(answer->bytes);
    return Progress::kDone;
  }

  static Progress take_embedding(EmbedResult& result, EventBody& event) {
    if (auto* row = std::get_if<engine::EmbedRow>(&event)) {
      result.tokens.push_back(std::move(row->values));
      return Progress::kMore;
    }
    auto* done = std::get_if<engine::EmbedDone>(&event);
    if (done == nullptr) return Progress::kForeign;
    result.values = std::move(done->values);
    result.n_prompt = done->n_prompt;
    return Progress::kDone;
  }

  // Sends a command; `take` fills the result from each event, and `sink` gets it.
  template <class T>
  RequestId submit(const Command& command, Progress (*take)(T&, EventBody&),
                   std::function<void(Result<T>)> sink) {
    return core_->submit(command,
                         [partial = T(), take, sink = std::move(sink)](EventBody&& event) mutable {
                           if (auto* failed = std::get_if<Failed>(&event)) {
                             sink(std::move(failed->error));
                             return true;
                           }
                           const Progress progress = take(partial, event);
                           if (progress == Progress::kMore) return false;
                           if (progress == Progress::kDone) {
                             sink(std::move(partial));
                           } else {
                             sink(Error::internal("the engine sent a foreign event"));
                           }
                           return true;
                         });
  }

  template <class T>
  std::future<Result<T>> ask(const Command& command, Progress (*take)(T&, EventBody&)) {
    CHECK(reader_id_ != std::this_thread::get_id());
    auto answer = std::make_shared<std::promise<Result<T>>>();
    auto future = answer->get_future();
    submit<T>(command, take, [answer](Result<T> result) { answer->set_value(std::move(result)); });
    return future;
  }

  template <class T>
  Result<T> call(const Command& command, Progress (*take)(T&, EventBody&)) {
    return ask<T>(command, take).get();
  }

  std::shared_ptr<Core> core_;
  std::thread reader_;
  const std::thread::id reader_id_;  // also after reader_ was joined
  std::mutex close_mutex_;           // guards joining reader_
  ModelCard card_;
};

}  // namespace

Result<std::unique_ptr<Client>> start_socket_client(Connector connector, const LoadRequest& load,
                                                    const StartOptions& start) {
  auto core = std::make_shared<Core>(start);
  std::promise<Result<ModelCard>> loaded;
  auto answer = loaded.get_future();
  std::thread reader([core, connector = std::move(connector), load, on_progress = start.on_progress,
                      loaded = std::move(loaded)]() mutable {
    core->run(connector, load, on_progress, std::move(loaded));
  });
  const std::stop_callback on_stop(start.stop, [&core] { core->stop(); });
  auto card = answer.get();
  if (!card.ok()) {
    reader.join();
    return std::move(card).error();
  }
  return std::unique_ptr<Client>(
      new SocketClient(std::move(core), std::move(reader), std::move(card).value()));
}

}  // namespace maru::link
