#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace maru {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error::invalid("n must be even", "n");
  return n / 2;
}

Result<int> quarter(int n) {
  MARU_TRY(first, half(n));
  MARU_TRY(second, half(first));
  return second;
}

Result<void> check_quarter(int n) {
  MARU_TRY_VOID(quarter(n));
  return {};
}

TEST(Result, TryPassesValuesAndErrors) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().param, "n");
  EXPECT_TRUE(check_quarter(8).ok());
  EXPECT_FALSE(check_quarter(7).ok());
}

TEST(Result, HoldsMoveOnlyValues) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  EXPECT_EQ(*std::move(result).value(), 7);
}

TEST(ResultDeathTest, TakingTheValueOfAnErrorIsABug) {
  EXPECT_DEATH((void)half(1).value(), "CHECK failed");
}

TEST(ErrorCode, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    EXPECT_EQ(error_code_from_name(error_code_name(code)), code);
  }
  EXPECT_FALSE(error_code_from_name("nonsense").has_value());
}

}  // namespace
}  // namespace maru
