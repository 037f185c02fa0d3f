#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace maru {
namespace {

TEST(ThreadPool, RunsEachChunkExactlyOnceForAnyNumberOfThreads) {
  for (size_t n_threads = 1; n_threads <= 4; ++n_threads) {
    ThreadPool pool(n_threads);
    for (size_t n_chunks : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<std::atomic<int>> runs(n_chunks);
      pool.parallel_for(n_chunks, [&](size_t chunk, size_t worker) {
        ASSERT_LT(worker, n_threads);
        ++runs[chunk];
      });
      for (const auto& run : runs) EXPECT_EQ(run.load(), 1);
    }
  }
}

TEST(ThreadPool, TakesTheChunksOfAWorkerThatIsHeldUp) {
  ThreadPool pool(2);
  for (const size_t held_up : {0u, 4u}) {  // the first chunk of either worker
    std::atomic<size_t> n_others{0};
    pool.parallel_for(8, [&](size_t chunk, size_t) {
      if (chunk != held_up) {
        ++n_others;
        n_others.notify_all();
        return;
      }
      for (size_t n = 0; n < 7; n = n_others.load()) n_others.wait(n);
    });
    EXPECT_EQ(n_others.load(), 7u);
  }
}

TEST(ThreadPool, ManyShortJobsInARow) {
  ThreadPool pool(3);
  std::atomic<uint64_t> sum{0};
  for (size_t job = 0; job < 20'000; ++job) {
    pool.parallel_for(3, [&](size_t chunk, size_t) { sum += chunk; });
  }
  EXPECT_EQ(sum.load(), 60'000u);
  EXPECT_EQ(pool.n_barriers(), 20'000u);
}

}  // namespace
}  // namespace maru
