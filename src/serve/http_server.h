// serve/http_server.h - HTTP/1.1 on sockets: limits, framing, connections, graceful stop.
//
// app/ starts one with a filled Router. Threads: start() and stop() from one thread; handlers run
// on the server's io threads or on its workers, as their route says.
// Limits: docs/threats rows 11, 12, 15 and 37.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "serve/http.h"

namespace maru::serve {

inline constexpr size_t kBodyBytesMax = 2 << 20;
inline constexpr size_t kHeaderBytesMax = 16 << 10;
inline constexpr size_t kHeaderLinesMax = 100;
inline constexpr size_t kConnectionsMax = 4000;
inline constexpr size_t kStreamQueueBytesMax = 256 << 10;
inline constexpr size_t kHandlersWaitingMax = 256;  // for a worker; above: 429
inline constexpr std::chrono::milliseconds kHeaderTimeout{10'000};
inline constexpr std::chrono::milliseconds kBodyTimeout{30'000};
inline constexpr std::chrono::milliseconds kWriteTimeout{30'000};  // without any progress
inline constexpr std::chrono::milliseconds kIdleTimeout{75'000};   // between two requests
inline constexpr std::chrono::milliseconds kStopGrace{5'000};      // for running answers
inline constexpr std::chrono::milliseconds kStopLast{1'000};       // for their error events

// The limits in force; tests make them small.
struct ServerLimits {
  size_t body_bytes = kBodyBytesMax;
  size_t header_bytes = kHeaderBytesMax;
  size_t header_lines = kHeaderLinesMax;
  size_t connections = kConnectionsMax;
  size_t stream_queue_bytes = kStreamQueueBytesMax;
  size_t handlers_waiting = kHandlersWaitingMax;
  std::chrono::milliseconds header_timeout = kHeaderTimeout;
  std::chrono::milliseconds body_timeout = kBodyTimeout;
  std::chrono::milliseconds write_timeout = kWriteTimeout;
  std::chrono::milliseconds idle_timeout = kIdleTimeout;
  std::chrono::milliseconds stop_grace = kStopGrace;
  std::chrono::milliseconds stop_last = kStopLast;
};

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 6278;                 // 0 = any free one
  std::vector<std::string> host_names;  // accepted in Host besides IP literals and localhost
  size_t n_io_threads = 2;
  size_t n_workers = 8;
  ServerLimits limits;
  const Clock* clock = nullptr;      // Requires: not null, outlives the server
  std::function<uint64_t()> random;  // Requires: callable from any thread; for request ids
};

class Server {
 public:
  // Errors: kInvalidArgument for a bad address; kUnavailable where the port is in use; kIo.
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Router router);
  ~Server();  // stops
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;
  size_t n_connections() const;

  // Takes no more connections, lets running answers finish for stop_grace, then has them cut off
  // with their own error event, closes, and joins all threads. The second call does nothing.
  void stop();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace maru::serve
