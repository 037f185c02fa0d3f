#include "base/utf8.h"

#include <gtest/gtest.h>

namespace maru {
namespace {

TEST(Utf8, RoundTripsEveryScalarValue) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Char c = decode_utf8(text);
    ASSERT_TRUE(c.valid) << static_cast<uint32_t>(code);
    ASSERT_EQ(c.code, code);
    ASSERT_EQ(c.n_bytes, text.size());
  }
}

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(find_invalid_utf8("마루"), std::string_view::npos);
  EXPECT_EQ(find_invalid_utf8("a\xC0\x80"), 1u);         // overlong
  EXPECT_EQ(find_invalid_utf8("ab\xED\xA0\x80"), 2u);    // surrogate
  EXPECT_EQ(find_invalid_utf8("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(find_invalid_utf8("마\xEB\xA3"), 3u);        // cut short
}

TEST(Utf8, HoldsBackOnlyAnUnfinishedLastCharacter) {
  const std::string text = "마루";
  EXPECT_EQ(complete_utf8_prefix(text), 6u);
  EXPECT_EQ(complete_utf8_prefix(text.substr(0, 5)), 3u);
  EXPECT_EQ(complete_utf8_prefix(text.substr(0, 4)), 3u);
  EXPECT_EQ(complete_utf8_prefix("a\x80"), 2u);  // can never become a character
  EXPECT_EQ(complete_utf8_prefix("\xF0\x9F\x98"), 0u);
}

// The example of Unicode 15, table 3-8.
TEST(Utf8, ReplacesEachMaximalSubpartOnce) {
  EXPECT_EQ(replace_invalid_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                                 "b\x80"
                                 "c\x80\xBF"
                                 "d"),
            "a\uFFFD\uFFFD\uFFFD"
            "b\uFFFD"
            "c\uFFFD\uFFFD"
            "d");
}

}  // namespace
}  // namespace maru
