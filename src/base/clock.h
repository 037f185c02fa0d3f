// base/clock.h - time as a seam: production reads the system, tests move a ManualClock.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>

namespace maru {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds on a clock that never goes back; only differences mean anything. Threads: any.
  virtual int64_t monotonic_ns() const = 0;
  // Seconds since 1970-01-01 UTC. Threads: any.
  virtual int64_t unix_seconds() const = 0;
};

class SystemClock final : public Clock {
 public:
  int64_t monotonic_ns() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  int64_t unix_seconds() const override {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

// Stands still until a test moves it. Threads: any.
class ManualClock final : public Clock {
 public:
  int64_t monotonic_ns() const override { return now_ns_; }
  int64_t unix_seconds() const override { return now_ns_ / 1'000'000'000; }
  void advance_ns(int64_t delta_ns) { now_ns_ += delta_ns; }

 private:
  std::atomic<int64_t> now_ns_ = 0;
};

}  // namespace maru
