#include "text/continue_message.h"

#include <gtest/gtest.h>

namespace maru::text {
namespace {

constexpr Origin kLiteral = Origin::kLiteral;
constexpr Origin kData = Origin::kData;

TEST(CutAfterMessage, EndsWithTheMessage) {
  const Spans spans = {{"<user>", kLiteral},
                       {"one", kData},
                       {"<end><assistant>", kLiteral},
                       {"one two", kData},
                       {"<end>", kLiteral}};
  const Spans expected(spans.begin(), spans.end() - 1);
  EXPECT_EQ(cut_after_message(spans, "one two").value(), expected);
}

TEST(CutAfterMessage, FindsTheLastPlaceAndOnlyInData) {
  const Spans spans = {
      {"end", kData}, {"<end>", kLiteral}, {"the end, and more", kData}, {"<end>", kLiteral}};
  const Spans expected = {{"end", kData}, {"<end>", kLiteral}, {"the end", kData}};
  EXPECT_EQ(cut_after_message(spans, "end").value(), expected);
}

TEST(CutAfterMessage, TakesAMessageThatTheTemplateTrimmedOrSplit) {
  const Spans trimmed = {{"<a>", kLiteral}, {"half a", kData}, {"<end>\n", kLiteral}};
  const Spans expected = {{"<a>", kLiteral}, {"half a", kData}};
  EXPECT_EQ(cut_after_message(trimmed, " half a \n").value(), expected);
  const Spans split = {{"<a>", kLiteral}, {"half", kData}, {" a", kData}, {"<end>", kLiteral}};
  EXPECT_EQ(cut_after_message(split, "half a").value().size(), 3u);
}

TEST(CutAfterMessage, RefusesWhatIsEmptyOrNotThere) {
  const Spans spans = {{"<a>gone<end>", kLiteral}, {"other", kData}};
  EXPECT_EQ(cut_after_message(spans, "gone").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(cut_after_message(spans, " \n").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(cut_after_message({}, "x").error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace maru::text
