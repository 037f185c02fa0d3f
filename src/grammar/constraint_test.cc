#include "grammar/constraint.h"

#include <gtest/gtest.h>

namespace maru::grammar {
namespace {

std::shared_ptr<const Vocabulary> vocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"na", "name", "me\"", "name\"", "\"name", ":", "true", "tru", "{\""}) {
    tokens.emplace_back(token);
  }
  return std::make_shared<Vocabulary>(std::move(tokens));
}

std::string forced_text(const std::string& schema, std::string text) {
  const auto words = vocabulary();
  auto grammar = CompiledGrammar::make({GrammarKind::kJsonSchema, schema, {}}, words);
  EXPECT_TRUE(grammar.ok());
  Constraint constraint(*grammar);
  for (const char byte : text) EXPECT_TRUE(constraint.accept(static_cast<uint8_t>(byte)));
  std::string forced;
  for (TokenId token; (token = constraint.forced()) >= 0;) {
    EXPECT_TRUE(constraint.mask()->has(token));
    EXPECT_TRUE(constraint.accept(token));
    forced += std::string(words->bytes(token)) + "|";
  }
  return forced;
}

TEST(Constraint, ForcesTheLongestTokensOfTheOnlyWay) {
  const std::string one = R"({"type":"object","properties":{"name":{"const":true}},
      "required":["name"],"additionalProperties":false})";
  EXPECT_EQ(forced_text(one, ""), "");             // `{"` goes on where there may be white space
  EXPECT_EQ(forced_text(one, "{\""), "name\"|");   // no other key, and no needless escape
  EXPECT_EQ(forced_text(one, "{\"n"), "a|me\"|");  // `ame"` is no token
  EXPECT_EQ(forced_text(one, "{\"name\":t"), "r|u|e|");
  EXPECT_EQ(forced_text(R"({"enum":["name","nave"]})", "\"na"), "");
  EXPECT_EQ(forced_text(R"({"enum":["name","na"]})", "\""), "");
}

TEST(Constraint, AMaskIsMadeOnceForEachPlace) {
  auto grammar = CompiledGrammar::make({GrammarKind::kJsonSchema, "true", {}}, vocabulary());
  ASSERT_TRUE(grammar.ok());
  Constraint constraint(*grammar);
  EXPECT_FALSE(constraint.may_end());
  ASSERT_TRUE(constraint.accept('"'));
  const TokenMask before = *constraint.mask();
  ASSERT_TRUE(constraint.accept('x'));
  EXPECT_EQ(*constraint.mask(), before);
  ASSERT_TRUE(constraint.accept('"'));
  EXPECT_TRUE(constraint.may_end());
  EXPECT_EQ(constraint.mask()->count(), 0u);
  EXPECT_FALSE((*grammar)->is_spent());
  EXPECT_GT((*grammar)->n_bytes(), 0u);
}

TEST(Constraint, EveryRefusalIsTheCallersToMend) {
  const auto words = vocabulary();
  const auto code = [&](const std::string& source) {
    return CompiledGrammar::make({GrammarKind::kRegex, source, {}}, words).error().code;
  };
  EXPECT_EQ(code("("), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code("\\b"), ErrorCode::kUnsupported);
  EXPECT_EQ(code(std::string(kSourceBytesMax + 1, 'a')), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace maru::grammar
