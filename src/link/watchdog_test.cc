#include "link/watchdog.h"

#include <gtest/gtest.h>

namespace maru::link {
namespace {

using Act = Watchdog::Act;
constexpr int64_t kSecond = 1'000'000'000;

// Lets the clock go on, a second at a time, until the watchdog does something.
Act next_act(Watchdog& watchdog, ManualClock& clock, int64_t& seconds) {
  for (seconds = 0; seconds < 1000; ++seconds) {
    const Act act = watchdog.look();
    if (act != Act::kNothing) return act;
    clock.advance_ns(kSecond);
  }
  return Act::kNothing;
}

TEST(Watchdog, PingsThenCancelsThenKillsWithin31Seconds) {
  ManualClock clock;
  Watchdog watchdog(clock);
  int64_t seconds = 0;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(next_act(watchdog, clock, seconds), i < 5 ? Act::kPing : Act::kCancel) << i;
    EXPECT_EQ(seconds, 5);
    watchdog.pong(7);  // alive, and nothing moves
  }
  EXPECT_EQ(next_act(watchdog, clock, seconds), Act::kKill);
  EXPECT_EQ(clock.monotonic_ns(), 31 * kSecond);
}

TEST(Watchdog, AnEngineThatDoesNotAnswerIsStuckToo) {
  ManualClock clock;
  Watchdog watchdog(clock);
  int64_t seconds = 0;
  while (next_act(watchdog, clock, seconds) != Act::kKill) {
  }
  EXPECT_EQ(clock.monotonic_ns(), 31 * kSecond);
}

TEST(Watchdog, WorkThatGoesOnWithoutEventsIsProgress) {
  ManualClock clock;
  Watchdog watchdog(clock);
  int64_t seconds = 0;
  for (uint64_t n_work = 0; n_work < 100; ++n_work) {
    EXPECT_EQ(next_act(watchdog, clock, seconds), Act::kPing);
    watchdog.pong(n_work);
  }
}

TEST(Watchdog, AnEventAfterTheCancelCallsTheKillOff) {
  ManualClock clock;
  Watchdog watchdog(clock);
  int64_t seconds = 0;
  while (next_act(watchdog, clock, seconds) != Act::kCancel) {
  }
  watchdog.progress();
  EXPECT_EQ(next_act(watchdog, clock, seconds), Act::kPing);
}

TEST(Watchdog, AsksBeforeItJudgesAfterItsOwnSleep) {
  ManualClock clock;
  Watchdog watchdog(clock);
  clock.advance_ns(3600 * kSecond);
  EXPECT_EQ(watchdog.look(), Act::kPing);
  watchdog.pong(1);
  clock.advance_ns(kPingAfterNs);
  EXPECT_EQ(watchdog.look(), Act::kPing);
  watchdog.pong(2);
  clock.advance_ns(kPingAfterNs);
  EXPECT_EQ(watchdog.look(), Act::kPing);
}

TEST(Watchdog, RestIsNotCounted) {
  ManualClock clock;
  Watchdog watchdog(clock);
  clock.advance_ns(3600 * kSecond);
  watchdog.rest();
  EXPECT_EQ(watchdog.look(), Act::kNothing);
}

}  // namespace
}  // namespace maru::link
