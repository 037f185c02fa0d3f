#include "link/watchdog.h"

namespace maru::link {

void Watchdog::rest() {
  n_work_.reset();
  progress();
}

void Watchdog::progress() {
  progress_ns_ = ping_ns_ = clock_.monotonic_ns();
  n_pings_ = 0;
  cancel_ns_.reset();
}

void Watchdog::pong(uint64_t n_work) {
  if (n_work_ != n_work && n_work_.has_value()) progress();
  n_work_ = n_work;
}

Watchdog::Act Watchdog::look() {
  const int64_t now_ns = clock_.monotonic_ns();
  if (cancel_ns_) return now_ns - *cancel_ns_ >= kCancelGraceNs ? Act::kKill : Act::kNothing;
  // Two pings: the first may come back with the count that the second is compared with. A client
  // that was asleep itself asks before it judges.
  if (n_pings_ >= 2 && now_ns - progress_ns_ >= kStuckAfterNs) {
    cancel_ns_ = now_ns;
    return Act::kCancel;
  }
  if (now_ns - ping_ns_ < kPingAfterNs) return Act::kNothing;
  ping_ns_ = now_ns;
  ++n_pings_;
  return Act::kPing;
}

}  // namespace maru::link
