// link/watchdog.h - when an engine that has work is taken for stuck, and what is done then.
//
// socket_client.cc asks it. Progress is an event of a request, or a Pong whose count has moved: a
// long prompt gives no event for a long time, but counts. It must not know sockets. Threads: one.
#pragma once
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace maru::link {

inline constexpr int64_t kPingAfterNs = 5'000'000'000;    // without progress, and then as often
inline constexpr int64_t kStuckAfterNs = 30'000'000'000;  // without progress: cancel what runs
inline constexpr int64_t kCancelGraceNs = 1'000'000'000;  // for the cancelled to end

class Watchdog {
 public:
  enum class Act { kNothing, kPing, kCancel, kKill };

  // Requires: clock outlives this.
  explicit Watchdog(const Clock& clock) : clock_(clock) { rest(); }

  // There is no work: time that passes is not counted.
  void rest();
  void progress();
  void pong(uint64_t n_work);

  // Requires: there is work. What to do now.
  Act look();

 private:
  const Clock& clock_;
  int64_t progress_ns_ = 0;
  int64_t ping_ns_ = 0;               // the last, or progress_ns_
  size_t n_pings_ = 0;                // since the last progress
  std::optional<int64_t> cancel_ns_;  // since the last progress
  std::optional<uint64_t> n_work_;    // of the last Pong
};

}  // namespace maru::link
