#include "base/thread_pool.h"

#include <algorithm>

#include "base/check.h"

namespace maru {
namespace {

// Polls before a worker sleeps. One pause is 40 to 140 cycles, so this is 20 to 70 us: longer than
// the gap between two jobs of one decode step, far shorter than a person notices.
constexpr int kSpins = 1'000;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

size_t default_thread_count() { return std::max<size_t>(1, std::thread::hardware_concurrency()); }

ThreadPool::ThreadPool(size_t n_threads) : ranges_(n_threads) {
  CHECK(n_threads >= 1);
  for (size_t worker = 1; worker < n_threads; ++worker) {
    workers_.emplace_back([this, worker] { worker_main(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(sleep_mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(size_t n_chunks, Body body) {
  n_barriers_.fetch_add(1, std::memory_order_relaxed);
  if (workers_.empty() || n_chunks <= 1) {
    for (size_t chunk = 0; chunk < n_chunks; ++chunk) body(chunk, 0);
    return;
  }
  body_ = &body;
  for (size_t worker = 0; worker < ranges_.size(); ++worker) {
    ranges_[worker].next.store(n_chunks * worker / ranges_.size(), std::memory_order_relaxed);
    ranges_[worker].end = n_chunks * (worker + 1) / ranges_.size();
  }
  n_busy_.store(workers_.size(), std::memory_order_relaxed);
  epoch_.fetch_add(1);  // publishes body_, ranges_ and n_busy_
  if (n_sleeping_.load() > 0) {
    // Taking the lock orders this after a worker's last look at epoch_ before it sleeps.
    {
      const std::lock_guard lock(sleep_mutex_);
    }
    wake_.notify_all();
  }
  work_on(body, 0);
  for (int spin = 0; n_busy_.load(std::memory_order_acquire) != 0; ++spin) {
    // A worker that lost its core would be waited for in vain by spinning alone.
    if (spin < kSpins) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::work_on(Body body, size_t worker) {
  for (size_t i = 0; i < ranges_.size(); ++i) {
    Range& range = ranges_[(worker + i) % ranges_.size()];
    while (true) {
      const size_t chunk = range.next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= range.end) break;
      body(chunk, worker);
    }
  }
}

bool ThreadPool::wait_for_job(uint64_t seen) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (epoch_.load(std::memory_order_acquire) != seen) return true;
    if (stopping_.load(std::memory_order_relaxed)) return false;
    pause_briefly();
  }
  std::unique_lock lock(sleep_mutex_);
  ++n_sleeping_;
  wake_.wait(lock, [&] { return epoch_.load() != seen || stopping_.load(); });
  --n_sleeping_;
  return !stopping_.load() || epoch_.load() != seen;
}

void ThreadPool::worker_main(size_t worker) {
  uint64_t seen = 0;
  while (wait_for_job(seen)) {
    ++seen;  // parallel_for waits for every worker, so no epoch is ever skipped
    work_on(*body_, worker);
    n_busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace maru
