#include "app/number_list.h"

#include <gtest/gtest.h>

namespace maru::app {
namespace {

TEST(NumberList, TakesSoManyNumbersWithinTheirBounds) {
  EXPECT_EQ(read_number_list("7", 3, 1, 64).value(), std::vector<size_t>{7});
  EXPECT_EQ(read_number_list("1,64,2", 3, 1, 64).value(), (std::vector<size_t>{1, 64, 2}));
  for (const char* bad : {"", ",", "1,", ",1", "1,,2", "0", "65", "1,2,3,4", "-1", "1 ,2", "1.5",
                          "x", "99999999999999999999"}) {
    const auto list = read_number_list(bad, 3, 1, 64);
    ASSERT_FALSE(list.ok()) << bad;
    EXPECT_NE(list.error().message.find("up to 3 numbers from 1 to 64"), std::string::npos);
  }
}

}  // namespace
}  // namespace maru::app
