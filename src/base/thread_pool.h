// base/thread_pool.h - the threads that share one job: parallel_for with a barrier at its end.
//
// The caller is worker 0; a pool of n threads starts n - 1. Between jobs the workers spin for a
// short while (a decode step hands out many jobs a millisecond), then sleep: an idle pool uses no
// CPU. Which worker runs which chunk never changes a result: chunks are disjoint by contract.
// Threads: run() and parallel_for() are called by one thread at a time (the engine thread).
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace maru {

// One for each core that this process may run on, at least 1.
size_t default_thread_count();

class ThreadPool {
 public:
  using Body = FunctionRef<void(size_t chunk, size_t worker)>;

  // Requires: n_threads >= 1.
  explicit ThreadPool(size_t n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t n_threads() const { return workers_.size() + 1; }

  // Calls body(chunk, worker) for each chunk in [0, n_chunks), each exactly once, worker in
  // [0, n_threads()); returns when all are done. Each worker has a range of consecutive chunks, so
  // that it reads on where it read before, and takes chunks of other ranges when its own is done.
  // Requires: body does not call back into this pool.
  void parallel_for(size_t n_chunks, Body body);

  // How many times parallel_for ended with a barrier since the pool began: the cost model that
  // tests count instead of timing, and a sign of life. From any thread.
  uint64_t n_barriers() const { return n_barriers_.load(std::memory_order_relaxed); }

 private:
  // What is left of a worker's chunks.
  struct alignas(64) Range {
    std::atomic<size_t> next{0};
    size_t end = 0;
  };

  void worker_main(size_t worker);
  void work_on(Body body, size_t worker);
  bool wait_for_job(uint64_t seen);

  // One cache line each: workers poll the first while others write the second.
  alignas(64) std::atomic<uint64_t> epoch_{0};  // one more per job
  alignas(64) std::atomic<size_t> n_busy_{0};   // workers that have not finished the current job
  const Body* body_ = nullptr;                  // of the current job
  std::atomic<uint64_t> n_barriers_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> n_sleeping_{0};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
  std::vector<Range> ranges_;  // [n_threads()]
  std::vector<std::thread> workers_;
};

}  // namespace maru
