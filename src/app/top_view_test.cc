#include "app/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/metrics.h"

namespace maru::app {
namespace {

using ::testing::HasSubstr;

TEST(TopView, ReadsWhatTheServerWrites) {
  serve::RequestMetrics metrics;
  link::EngineStats stats{
      .n_running = 2, .n_waiting = 5, .n_kv_blocks = 100, .n_kv_blocks_free = 75};
  stats.n_tokens_prompt = 300;
  stats.n_tokens_cached = 100;
  stats.n_tokens_generated = 50;
  stats.n_tokens_guessed = 30;
  stats.n_guesses_right = 23;
  stats.n_steps = 10;
  stats.n_step_sequences = 25;
  for (int i = 0; i < 10; ++i) metrics.first_token("a\"b", 0.3);
  const auto before = Metrics::parse(metrics.text({{"a\"b", stats}}));
  ASSERT_TRUE(before.ok()) << before.error().message;
  EXPECT_EQ(before->models(), std::vector<std::string>{"a\"b"});
  const std::string once = top_table(*before, nullptr, 0);
  for (const char* part :
       {"a\"b", " 25% ", " 2.5 ", " 300 ", " 50 ", " 46% ", "375 ms / 488 ms", "- / -"}) {
    EXPECT_THAT(once, HasSubstr(part));
  }
  stats.n_tokens_prompt += 800;
  stats.n_tokens_generated += 80;
  metrics.first_token("a\"b", 2.0);
  const auto now = Metrics::parse(metrics.text({{"a\"b", stats}}));
  const std::string live = top_table(*now, &*before, 2);
  for (const char* part : {"IN/s", " 400 ", " 40 ", "1.8 s / 2.4 s"}) {
    EXPECT_THAT(live, HasSubstr(part));
  }
  // The server was started anew: its counts are smaller than before.
  EXPECT_THAT(top_table(*before, &*now, 1), HasSubstr(" 300 "));
}

TEST(TopView, WhatIsNoMetricsIsRefused) {
  EXPECT_TRUE(Metrics::parse("").ok());
  EXPECT_TRUE(Metrics::parse("# comment\nup 1\nx_bucket{le=\"+Inf\"} 2\n").ok());
  for (const char* text : {"<html>", "name", "name one", "name{a=\"b\" 1", "x{le=\"big\"} 1"}) {
    EXPECT_FALSE(Metrics::parse(text).ok()) << text;
  }
}

TEST(TopView, QuantilesLieWithinTheirBucket) {
  EXPECT_LT(quantile({}, 0.5), 0);
  EXPECT_LT(quantile({{1, 0}, {INFINITY, 0}}, 0.5), 0);
  EXPECT_DOUBLE_EQ(quantile({{1, 0}, {2, 10}, {INFINITY, 10}}, 0.5), 1.5);
  EXPECT_DOUBLE_EQ(quantile({{1, 0}, {2, 1}, {INFINITY, 10}}, 0.9), 2);
}

}  // namespace
}  // namespace maru::app
