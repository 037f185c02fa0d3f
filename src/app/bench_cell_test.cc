#include "app/bench_cell.h"

#include <gtest/gtest.h>

namespace maru::app {
namespace {

constexpr int64_t kMs = 1'000'000;

TEST(RateTogether, OfOneStreamIsItsTokensAfterTheFirst) {
  EXPECT_DOUBLE_EQ(*rate_together({{0, 10 * kMs, 20 * kMs, 30 * kMs}}), 100);
}

// The second stream begins two steps later. Steps of one stream took 5 ms, of two together 10 ms.
TEST(RateTogether, CountsOnlyWhileAllRun) {
  const std::vector<int64_t> first = {0, 5 * kMs, 15 * kMs, 25 * kMs, 35 * kMs};
  const std::vector<int64_t> second = {15 * kMs + 1, 25 * kMs + 1, 35 * kMs + 1, 40 * kMs,
                                       45 * kMs};
  EXPECT_DOUBLE_EQ(*rate_together({first, second}), 200);
}

TEST(RateTogether, StreamsOneAfterTheOtherHaveNone) {
  const auto rate = rate_together({{0, kMs, 2 * kMs}, {3 * kMs, 4 * kMs}});
  ASSERT_FALSE(rate.ok());
  EXPECT_EQ(rate.error().code, ErrorCode::kResourceExhausted);
}

TEST(RateTogether, AStreamWithoutTokensIsAnError) {
  EXPECT_FALSE(rate_together({{0, kMs}, {}}).ok());
}

}  // namespace
}  // namespace maru::app
