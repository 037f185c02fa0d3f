#include "grammar/pieces.h"

#include <gtest/gtest.h>

#include "grammar/test_grammars.h"

namespace maru::grammar {
namespace {

Piece text(std::string what) { return {.kind = Piece::kText, .text = std::move(what)}; }
Piece schema(std::string what) {
  return {.kind = Piece::kSchema, .text = std::move(what), .name = "here"};
}
Piece list(Piece::Kind kind, std::vector<Piece> parts) {
  return {.kind = kind, .parts = std::move(parts)};
}

// "yes", "no", or the error's message.
std::string verdict(const Piece& pieces, std::string_view what) {
  GrammarSpec spec{.kind = GrammarKind::kPieces};
  spec.pieces = pieces;
  auto program = compile(spec);
  if (!program.ok()) return program.error().message;
  const auto accepted = accepts(**program, what);
  if (!accepted.ok()) return accepted.error().message;
  return *accepted ? "yes" : "no";
}

// Free text until <call>, then calls of either of two functions.
Piece calls(uint32_t min, uint32_t max) {
  const auto call = [](const std::string& name, const std::string& arguments) {
    return list(Piece::kSequence,
                {text("<call>" + name + " "), schema(arguments), text("</call>")});
  };
  Piece one = list(Piece::kEither, {call("add", R"({"type":"object","properties":{"a":
      {"type":"integer"}},"required":["a"],"additionalProperties":false})"),
                                    call("stop", R"({"const":{}})")});
  return {.kind = Piece::kRepeat, .parts = {std::move(one), text("\n")}, .min = min, .max = max};
}

TEST(Pieces, FreeTextUntilACallBegins) {
  const Piece answer =
      list(Piece::kSequence, {{.kind = Piece::kFree, .texts = {"<call>"}},
                              list(Piece::kEither, {list(Piece::kSequence, {}), calls(1, 2)})});
  EXPECT_EQ(verdict(answer, ""), "yes");
  EXPECT_EQ(verdict(answer, "no <call of it, <cal< <<call"), "yes");
  EXPECT_EQ(verdict(answer, "<call>"), "no");
  EXPECT_EQ(verdict(answer, "I will.<call>add {\"a\":1}</call>"), "yes");
  EXPECT_EQ(verdict(answer, "I will.<call>add {\"b\":1}</call>"), "no");
  EXPECT_EQ(verdict(answer, "<call>add { \"a\" : 1 }</call>\n<call>stop {}</call>"), "yes");
  EXPECT_EQ(verdict(answer, "<call>stop {}</call>\n<call>stop {}</call>\n<call>stop {}</call>"),
            "no");
  EXPECT_EQ(verdict(answer, "<call>stop {}</call> and more"), "no");
  EXPECT_EQ(verdict(answer, "\xFF"), "no");
}

TEST(Pieces, Repetitions) {
  EXPECT_EQ(verdict(calls(1, 1), ""), "no");
  EXPECT_EQ(verdict(calls(0, 2), ""), "yes");
  EXPECT_EQ(verdict(calls(2, 3), "<call>stop {}</call>"), "no");
  EXPECT_EQ(verdict(calls(2, 3), "<call>stop {}</call>\n<call>stop {}</call>"), "yes");
}

TEST(Pieces, TextThatDoesNotBeginSo) {
  const Piece piece{.kind = Piece::kFree, .begins = {"{\"name\"", "<|tag|>"}};
  EXPECT_EQ(verdict(piece, "{\"nam"), "yes");
  EXPECT_EQ(verdict(piece, " {\"name\": 1}"), "yes");
  EXPECT_EQ(verdict(piece, "{\"name\": 1}"), "no");
  EXPECT_EQ(verdict(piece, "<|tag|>x"), "no");
}

TEST(Pieces, OtherGrammarsWithin) {
  const auto within = [](GrammarSpec spec) {
    return list(
        Piece::kSequence,
        {text("("),
         {.kind = Piece::kGrammar, .grammar = std::make_shared<const GrammarSpec>(std::move(spec))},
         text(")")});
  };
  EXPECT_EQ(verdict(within({.kind = GrammarKind::kRegex, .source = "a+"}), "(aa)"), "yes");
  EXPECT_EQ(verdict(within({.kind = GrammarKind::kRegex, .source = "a+"}), "()"), "no");
  EXPECT_EQ(verdict(within({.kind = GrammarKind::kChoice, .choices = {"x", "yy"}}), "(yy)"), "yes");
  const std::string nested = "root ::= \"[\" root \"]\" | \"x\"";
  EXPECT_EQ(verdict(within({.kind = GrammarKind::kGbnf, .source = nested}), "([[x]])"), "yes");
  EXPECT_EQ(verdict(within({.kind = GrammarKind::kGbnf, .source = nested}), "([[x])"), "no");
  EXPECT_EQ(verdict(within({.kind = GrammarKind::kJsonSchema, .source = "{\"type\":\"null\"}"}),
                    "(null)"),
            "yes");
}

TEST(Pieces, SchemasWithReferencesOfTheirOwn) {
  const Piece two = list(Piece::kSequence,
                         {schema(R"({"$defs":{"x":{"const":1}},"$ref":"#/$defs/x"})"), text(","),
                          schema(R"({"$defs":{"x":{"type":"array","items":{"$ref":"#/$defs/x"}}},
                                     "$ref":"#/$defs/x"})")});
  EXPECT_EQ(verdict(two, "1,[[],[[]]]"), "yes");
  EXPECT_EQ(verdict(two, "[],1"), "no");
}

TEST(Pieces, AnErrorNamesThePiece) {
  GrammarSpec spec{.kind = GrammarKind::kPieces};
  spec.pieces = schema(R"({"type":"array","uniqueItems":true})");
  const auto program = compile(spec);
  ASSERT_FALSE(program.ok());
  EXPECT_EQ(program.error().param, "here");
  EXPECT_EQ(program.error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(program.error().message.starts_with("here: ")) << program.error().message;
  EXPECT_EQ(verdict(calls(1, kPieceRepeatMax + 1), ""), "at most 64 repetitions");
}

}  // namespace
}  // namespace maru::grammar
