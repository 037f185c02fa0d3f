#include "base/json.h"

#include <gtest/gtest.h>

namespace maru {
namespace {

TEST(ParseJson, AcceptsUpToTheDepthLimitAndRefusesOneMore) {
  const std::string deep = std::string(kJsonDepthMax, '[') + std::string(kJsonDepthMax, ']');
  EXPECT_TRUE(parse_json(deep).ok());
  EXPECT_EQ(parse_json("[" + deep + "]").error().code, ErrorCode::kInvalidArgument);
}

TEST(ParseJson, BracketsInsideStringsDoNotCount) {
  EXPECT_TRUE(parse_json("\"" + std::string(1000, '[') + "\\\"[\"").ok());
}

TEST(ParseJson, SaysWhereTheErrorIs) {
  const auto result = parse_json("{\"a\": tru}");
  ASSERT_FALSE(result.ok());
  EXPECT_TRUE(result.error().message.starts_with("invalid JSON at byte 10: syntax error"))
      << result.error().message;
  EXPECT_TRUE(parse_json("[1e999]").error().message.ends_with(": number overflow parsing '1e999'"));
}

TEST(ParseJson, SaysNothingOfTheLibrary) {
  for (const char* text : {"", "{", "[1 2]", "nul", "\"\xff\"", "\"\\ud800\"", "1e999", "[] x"}) {
    const auto result = parse_json(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.error().message.find("exception"), std::string::npos)
        << result.error().message;
  }
}

TEST(ParseJson, RefusesInvalidUtf8) { EXPECT_FALSE(parse_json("\"\xff\"").ok()); }

TEST(ParseJson, OfAKeyThatOccursTwiceTheLastValueWins) {
  EXPECT_EQ(dump_json(parse_json(R"({"a":1,"b":[2],"a":{"c":3},"d":4,"b":5,"a":6})").value()),
            R"({"a":6,"b":5,"d":4})");
}

TEST(ParseJson, RefusesNumbersBeyondDouble) {
  EXPECT_FALSE(parse_json("1e999").ok());
  EXPECT_EQ(parse_json("18446744073709551616").value(), 18446744073709551616.0);
}

TEST(DumpJson, KeepsKeyOrderAndReplacesBadBytes) {
  EXPECT_EQ(dump_json(Json{{"b", 1}, {"a", "\xff"}}), "{\"b\":1,\"a\":\"\xef\xbf\xbd\"}");
}

}  // namespace
}  // namespace maru
