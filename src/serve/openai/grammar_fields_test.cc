#include "serve/openai/grammar_fields.h"

#include <gtest/gtest.h>

namespace maru::serve::openai {
namespace {

using grammar::GrammarKind;
using grammar::GrammarSpec;

std::optional<GrammarSpec> read(const std::string& body) {
  auto fields = Fields::check(kChatEndpoint, *parse_json(body));
  EXPECT_TRUE(fields.ok()) << body;
  auto spec = read_grammar(*fields);
  EXPECT_TRUE(spec.ok()) << body;
  return spec.ok() ? *spec : std::nullopt;
}

TEST(GrammarFields, EveryWayToAskForTheSame) {
  const GrammarSpec schema{GrammarKind::kJsonSchema, R"({"type":"null"})", {}};
  for (const char* body : {
           R"({"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,
               "schema":{"type":"null"}}}})",
           R"({"json_schema":{"type":"null"}})",
           R"({"structured_outputs":{"json":{"type":"null"}}})",
           R"({"guided_json":{"type":"null"},"response_format":{"type":"text"}})",
           R"({"structured_outputs":{"json":"{\"type\":\"null\"}"}})",
       }) {
    EXPECT_EQ(read(body), schema) << body;
  }
  const GrammarSpec object{GrammarKind::kJsonSchema, R"({"type":"object"})", {}};
  EXPECT_EQ(read(R"({"response_format":{"type":"json_object"}})"), object);
  const GrammarSpec gbnf{GrammarKind::kGbnf, "root ::= \"a\"", {}};
  EXPECT_EQ(read(R"({"grammar":"root ::= \"a\""})"), gbnf);
  EXPECT_EQ(read(R"({"structured_outputs":{"grammar":"root ::= \"a\"","regex":null}})"), gbnf);
  const GrammarSpec choice{GrammarKind::kChoice, "", {"a", "b"}};
  EXPECT_EQ(read(R"({"guided_choice":["a","b"]})"), choice);
  const GrammarSpec regex{GrammarKind::kRegex, "a+", {}};
  EXPECT_EQ(read(R"({"guided_regex":"a+"})"), regex);
}

TEST(GrammarFields, NothingWhereNothingIsAskedFor) {
  EXPECT_EQ(read(R"({"response_format":{"type":"text"},"grammar":"","guided_json":null})"),
            std::nullopt);
}

}  // namespace
}  // namespace maru::serve::openai
