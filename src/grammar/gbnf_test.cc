#include "grammar/gbnf.h"

#include "grammar/test_grammars.h"

namespace maru::grammar {
namespace {

std::string gbnf(const std::string& source, std::string_view text) {
  return verdict(GrammarKind::kGbnf, source, text);
}

constexpr const char* kJson = R"(
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
# white space
ws ::= | " " | "\n" [ \t]{0,20}
)";

TEST(Gbnf, RegularRules) {
  EXPECT_EQ(gbnf("root ::= \"a\" b{2} [^x-z\\n]?\nb ::= \"b\" | \"c\"", "abcé"), "yes");
  EXPECT_EQ(gbnf("root ::= \"a\" b{2} [^x-z\\n]?\nb ::= \"b\" | \"c\"", "abcx"), "no");
  EXPECT_EQ(gbnf("root ::= \"a\"\n  | \"b\"", "b"), "yes");
  EXPECT_EQ(gbnf("root ::= .{2,} # any", "é한"), "yes");
}

TEST(Gbnf, RecursiveRules) {
  EXPECT_EQ(gbnf(kJson, R"({"a":[1, -2.5e10,{"b" :"x\n"}],"c":null})"), "no");  // "b" :
  EXPECT_EQ(gbnf(kJson, R"({"a":[1, -2.5e1,{"b": "x\n"}],"c":null})"), "yes");
  EXPECT_EQ(gbnf(kJson, R"({"a":[1,]})"), "no");
  const char* balanced = "root ::= \"(\" root \")\" root | \"\"";
  EXPECT_EQ(gbnf(balanced, "(()())()"), "yes");
  EXPECT_EQ(gbnf(balanced, "(()"), "no");
  const char* list = "root ::= item{2,3}\nitem ::= \"<\" item? \">\"";
  EXPECT_EQ(gbnf(list, "<><<>>"), "yes");
  EXPECT_EQ(gbnf(list, "<><><><>"), "no");
}

TEST(Gbnf, AmbiguityDoesNotMultiply) {
  const char* ambiguous = "root ::= \"a\" root | \"a\" root root | \"a\"";
  EXPECT_EQ(gbnf(ambiguous, std::string(300, 'a')), "yes");
}

TEST(Gbnf, RefusesWhatItCannotUse) {
  const std::pair<const char*, const char*> kCases[] = {
      {"root ::= x", "GBNF: there is no rule named \"x\""},
      {"x ::= \"a\"", "GBNF: there is no rule named \"root\""},
      {"root ::= \"a", "GBNF, line 1: a string that is not closed"},
      {"root ::= \"a\"\nroot ::= \"b\"", "GBNF, line 2: rule \"root\" is defined twice"},
      {"root = \"a\"", "GBNF, line 1: expected ::= after the name of a rule"},
      {"root ::= root \"a\" | \"a\"",
       "GBNF: rule \"root\" begins with itself, or leads to one that does; write the repetition to "
       "the right"},
      {"root ::= \" \"? root \"a\" | \"a\"",
       "GBNF: rule \"root\" begins with itself, or leads to one that does; write the repetition to "
       "the right"},
      {"root ::= \"a\" root", "GBNF: no text belongs to the grammar"},
      {"root ::= \"\\", "GBNF, line 1: a backslash at the end"},
      {"root ::= \"\\u12", "GBNF, line 1: \\u without 4 hexadecimal digits"},
      {"root ::= \"a\xff", "GBNF, line 1: bytes that are not UTF-8"},
      {"root ::= [b-a]", "GBNF, line 1: a range whose end is before its beginning"},
  };
  for (const auto& [source, message] : kCases) EXPECT_EQ(gbnf(source, "a"), message) << source;
}

}  // namespace
}  // namespace maru::grammar
