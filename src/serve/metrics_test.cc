#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace maru::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RequestMetrics, AnswersAreCountedInCumulativeBuckets) {
  RequestMetrics metrics;
  for (const double seconds : {0.001, 0.3, 0.5, 100.0}) metrics.first_token("a:1b", seconds);
  metrics.next_token("a:1b", 0.02);
  metrics.ended("a:1b", RequestMetrics::Outcome::kLength);
  const std::string text = metrics.text({});
  EXPECT_THAT(text, HasSubstr("# TYPE maru_first_token_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("maru_first_token_seconds_bucket{model=\"a:1b\",le=\"0.001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("maru_first_token_seconds_bucket{model=\"a:1b\",le=\"0.5\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("maru_first_token_seconds_bucket{model=\"a:1b\",le=\"60\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("maru_first_token_seconds_bucket{model=\"a:1b\",le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("maru_first_token_seconds_sum{model=\"a:1b\"} 100.801\n"));
  EXPECT_THAT(text, HasSubstr("maru_between_tokens_seconds_count{model=\"a:1b\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("maru_choices_total{model=\"a:1b\",outcome=\"length\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("maru_steps_total")));
}

TEST(RequestMetrics, EnginesAddWhatTheyCount) {
  const RequestMetrics metrics;
  link::EngineStats stats;
  stats.n_waiting = 3;
  stats.n_steps = 7;
  const std::string text = metrics.text({{"a\"b", stats}, {"c", {}}});
  EXPECT_THAT(text, HasSubstr("# TYPE maru_requests_waiting gauge\n"
                              "maru_requests_waiting{model=\"a\\\"b\"} 3\n"
                              "maru_requests_waiting{model=\"c\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("maru_steps_total{model=\"a\\\"b\"} 7\n"));
}

}  // namespace
}  // namespace maru::serve
