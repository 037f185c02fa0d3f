#include "text/answer_parser.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "text/test_answers.h"

namespace maru::text {
namespace {

TEST(AnswerParser, TakesTheAnswersOfEveryFamilyApart) {
  for (const TestAnswer& answer : test_answers()) {
    EXPECT_EQ(parse_answer(answer, {answer.text}), answer.expected) << answer.text;
  }
}

TEST(AnswerParser, HoweverTheTextIsSplit) {
  for (const TestAnswer& answer : test_answers()) {
    for (size_t at = 0; at <= answer.text.size(); ++at) {
      EXPECT_EQ(parse_answer(answer, {answer.text.substr(0, at), answer.text.substr(at)}),
                answer.expected)
          << answer.text << " at " << at;
    }
    std::vector<std::string> bytes;
    for (const char byte : answer.text) bytes.emplace_back(1, byte);
    EXPECT_EQ(parse_answer(answer, bytes), answer.expected) << answer.text;
  }
}

TEST(AnswerParser, ArgumentsComeAsTheyAreWritten) {
  AnswerParser parser({find_call_format("hermes"), nullptr}, {.names = {"f", "g"}});
  AnswerParts parts;
  parser.feed("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":", parts);
  parser.feed("1", parts);
  const AnswerParts expected = {{AnswerPart::kCall, "f"}, {AnswerPart::kArguments, "{\"a\":1"}};
  EXPECT_EQ(parts, expected);
}

TEST(AnswerParser, TextIsNotHeldForLong) {
  AnswerParser parser({find_call_format("hermes"), find_reasoning_format("think")},
                      {.names = {"f", "g"}});
  AnswerParts parts;
  parser.feed("a < b", parts);
  EXPECT_EQ(parts, (AnswerParts{{AnswerPart::kContent, "a < b"}}));
}

// Whatever is cut off or broken, no byte of it is lost: what is no call is text.
TEST(AnswerParser, WhatIsNoCallIsText) {
  const AnswerFormat hermes{find_call_format("hermes"), nullptr};
  for (const char* text :
       {"<tool_call>", "<tool_call>\n{\"name\": \"", "<tool_call>\n{\"name\": \"f",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": ", "<tool_call>\n{\"name\": \"f g\", x",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": 7}", "<tool_call>{}</tool_call>",
        "Write <tool_call> and </tool_call>.", "\n<tool_call>\n{\"name\": \"\", "}) {
    AnswerParser parser(hermes, {.names = {"f", "g"}});
    AnswerParts parts;
    for (const char* c = text; *c != 0; ++c) parser.feed({c, 1}, parts);
    parser.finish(parts);
    EXPECT_EQ(parts, (AnswerParts{{AnswerPart::kContent, text}}));
  }
}

TEST(AnswerParser, CallsAreTextWhereNoneIsExpected) {
  const std::string text = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
  AnswerParser parser({find_call_format("hermes"), nullptr}, {});
  AnswerParts parts;
  parser.feed(text, parts);
  parser.finish(parts);
  EXPECT_EQ(parts, (AnswerParts{{AnswerPart::kContent, text}}));
}

TEST(AnswerFormats, NamesAndMarks) {
  for (const CallFormat& format : call_formats()) EXPECT_EQ(find_call_format(format.name), &format);
  EXPECT_EQ(find_call_format(""), nullptr);
  const AnswerFormat harmony{find_call_format("harmony"), find_reasoning_format("harmony")};
  for (const char* token :
       {"<|channel|>", "<|message|>", "<|constrain|>", "<|start|>", "<|end|>"}) {
    EXPECT_TRUE(is_part_of(harmony, token)) << token;
  }
  for (const char* token : {"<|return|>", "<|call|>", "", "<|im_end|>"}) {
    EXPECT_FALSE(is_part_of(harmony, token)) << token;
  }
  EXPECT_TRUE(is_function_name("get_Weather-2"));
  EXPECT_FALSE(is_function_name("get weather"));
  EXPECT_FALSE(is_function_name(""));
  EXPECT_FALSE(is_function_name(std::string(65, 'a')));
}

}  // namespace
}  // namespace maru::text
