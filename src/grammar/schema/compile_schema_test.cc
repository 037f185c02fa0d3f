#include "grammar/schema/compile_schema.h"

#include "grammar/test_grammars.h"

namespace maru::grammar {
namespace {

struct Case {
  std::string schema;
  std::vector<std::string> valid;
  std::vector<std::string> invalid;
};

void check(const std::vector<Case>& cases) {
  for (const Case& each : cases) {
    for (const auto& text : each.valid) {
      EXPECT_EQ(verdict(GrammarKind::kJsonSchema, each.schema, text), "yes")
          << each.schema << " " << text;
    }
    for (const auto& text : each.invalid) {
      EXPECT_EQ(verdict(GrammarKind::kJsonSchema, each.schema, text), "no")
          << each.schema << " " << text;
    }
  }
}

std::string refusal(const std::string& schema) {
  const auto program = compile_text(GrammarKind::kJsonSchema, schema);
  return program.ok() ? "" : program.error().message;
}

TEST(CompileSchema, AnyValue) {
  check({{"true",
          {"null", "-0.5e-7", "\"\\ud83d\\ude00\\n\"", "[ ]", "{ \"a\" : [1, {}] , \"b\":true}"},
          {"", " 1", "1 ", "01", "1.", "+1", "\"\n\"", "\"\\ud800\"", "[1,]", "{\"a\"}", "nul",
           "\"\xff\""}}});
}

TEST(CompileSchema, Numbers) {
  check({
      {R"({"type":"integer"})", {"0", "-12", "900719925474099300000"}, {"1.0", "1e3", "-", "00"}},
      {R"({"type":"integer","minimum":-15,"maximum":123})",
       {"-15", "-1", "0", "99", "123"},
       {"-16", "124", "1000", "-100"}},
      {R"({"minimum":0.5})", {"0.5", "0.50", "0.6", "1", "10", "2e5"}, {"0.49", "0", "-1", "0.05"}},
      {R"({"exclusiveMinimum":0,"exclusiveMaximum":1.25})",
       {"0.001", "1", "1.2", "1.249", "1e-07"},
       {"0", "0.0", "1.25", "1.3", "2", "-0.5"}},
      {R"({"maximum":-2})", {"-2", "-2.0", "-3", "-1e3"}, {"-1.9", "2", "0"}},
      {R"({"type":"integer","multipleOf":7})", {"0", "7", "-21", "700"}, {"1", "-20", "701"}},
      {R"({"type":"number","multipleOf":0.25})", {"0.25", "1", "-3.50", "0.250"}, {"0.3", "0.255"}},
      {R"({"minimum":5,"exclusiveMinimum":true})", {"6", "5.1"}, {"5", "5.0"}},
      {R"({"enum":[1,2.5,-3]})", {"1", "1.0", "2.5", "2.50", "-3"}, {"2", "1.5", "3"}},
  });
}

TEST(CompileSchema, Strings) {
  check({
      {R"({"type":"string","minLength":1,"maxLength":3})",
       {R"("a")", R"("한국어")", R"("\ud83d\ude00\n\u0041")"},
       {R"("")", R"("abcd")", R"("\u0041bcd")"}},
      {R"({"type":"string","pattern":"^[a-c]+$","maxLength":2})",
       {R"("ab")", R"("\u0061c")"},
       {R"("abc")", R"("\u0064")", R"("")"}},
      {R"({"const":"a\"b"})", {R"("a\"b")", R"("a\u0022b")"}, {R"("a")", R"("a\\b")"}},
      {R"({"type":"string","not":{"enum":["a","bc"]}})",
       {R"("b")", R"("")"},
       {R"("a")", R"("bc")"}},
  });
}

TEST(CompileSchema, Objects) {
  check({
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{}},"required":["a"]})",
       {R"({"a":1})", R"({"b":[],"x":1,"a":2})", R"({"\u0061":1})"},
       {R"({})", R"({"b":1})", R"({"a":"x"})", R"({"a":1,"a":2})", R"({"\u0061":"x"})"}},
      {R"({"type":"object","patternProperties":{"^x":{"type":"integer"},"y$":{"minimum":5}},
           "additionalProperties":false})",
       {R"({"x1":1,"xy":7,"ay":9})"},
       {R"({"xy":1})", R"({"b":1})", R"({"x":"1"})", R"({"ay":4})"}},
      {R"({"type":"object","properties":{"xa":{"maximum":3}},"patternProperties":{"^x":
           {"type":"integer"}}})",
       {R"({"xa":1})", R"({"q":"z"})"},
       {R"({"xa":4})", R"({"xa":1.5})", R"({"\u0078b":"s"})"}},
      {R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$"},"minProperties":1,
           "maxProperties":2})",
       {R"({"a":1})", R"({"a":1,"b":2})"},
       {R"({})", R"({"A":1})", R"({"a":1,"b":2,"c":3})"}},
      {R"({"type":"object","properties":{"a":{},"b":{},"c":{}},"additionalProperties":false,
           "required":["c"],"maxProperties":2})",
       {R"({"a":1,"c":1})", R"({"c":1})"},
       {R"({"a":1,"b":1})", R"({"a":1,"b":1,"c":1})"}},
      {R"({"type":"object","dependentRequired":{"a":["b"]}})",
       {R"({})", R"({"a":1,"b":1})", R"({"b":1,"a":1})"},
       {R"({"a":1})"}},
      {R"({"type":"object","dependencies":{"a":{"required":["b"],"properties":{"b":
           {"const":1}}}}})",
       {R"({"b":2})", R"({"a":1,"b":1})"},
       {R"({"a":1})", R"({"a":1,"b":2})"}},
  });
}

TEST(CompileSchema, Arrays) {
  check({
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"string"},
           "minItems":1})",
       {"[1]", R"([1,"a","b"])"},
       {"[]", "[1,2]", R"(["a"])"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":false})",
       {"[]", "[1]"},
       {"[1,2]"}},
      {R"({"type":"array","contains":{"const":3},"maxItems":3})",
       {"[3]", "[1,2,3]", "[3,3]"},
       {"[]", "[1,2,4]", "[1,2,4,3]"}},
  });
}

TEST(CompileSchema, Combinations) {
  check({
      {R"({"allOf":[{"properties":{"a":{"minimum":1}}},{"properties":{"a":{"maximum":2}},
           "required":["a"]}],
           "type":"object"})",
       {R"({"a":1})", R"({"a":1.5})"},
       {R"({"a":3})", R"({})", R"({"a":0})"}},
      {R"({"oneOf":[{"type":"integer","multipleOf":2},{"type":"integer","multipleOf":3}]})",
       {"2", "3", "9", "10"},
       {"6", "0", "5"}},
      {R"({"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}]})",
       {R"({"a":1})", R"({"b":1})"},
       {R"({"a":1,"b":1})", R"({})"}},
      {R"({"type":"object","properties":{"k":{"enum":["x","y"]}},"required":["k"],
           "if":{"properties":{"k":{"const":"x"}}},"then":{"required":["p"]},"else":
           {"required":["q"]}})",
       {R"({"k":"x","p":1})", R"({"q":1,"k":"y"})"},
       {R"({"k":"x","q":1})", R"({"k":"y","p":1})"}},
      {R"({"not":{"type":"object","required":["a"]}})", {"1", R"({"b":1})"}, {R"({"a":1})"}},
      {R"({"not":{"items":{"type":"integer"}},"type":"array"})", {R"([1,"a"])"}, {"[]", "[1]"}},
      {R"({"enum":[{"a":[1,null]},[true]]})",
       {R"({"a":[1,null]})", "[true]"},
       {R"({"a":[1]})", "[]"}},
  });
}

TEST(CompileSchema, References) {
  check({
      {R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"next":
           {"$ref":"#/$defs/n"}},
           "additionalProperties":false}}})",
       {R"({})", R"({"next":{"next":{}}})"},
       {R"({"next":1})", R"({"next":{"x":1}})"}},
      {R"({"$id":"http://x.y/root.json","properties":{"a":{"$ref":"item.json#/definitions/s"},
           "b":{"$ref":"#anchor"}},"type":"object","definitions":{"i":{"$id":"item.json",
           "definitions":{"s":{"type":"string"}}},"n":{"$anchor":"anchor","type":"null"}}})",
       {R"({"a":"x","b":null})"},
       {R"({"a":1})", R"({"b":1})"}},
      {R"({"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/a",
           "type":"string","definitions":{"a":{"type":"integer"}}})",
       {"1"},
       {"\"1\""}},
      {R"({"properties":{"p%/q":{"$ref":"#/$defs/a~1b%25"}},"type":"object","$defs":{"a/b%":
           {"const":1}}})",
       {R"({"p%/q":1})"},
       {R"({"p%/q":2})"}},
  });
}

TEST(CompileSchema, RefusesWhatItCannotHonour) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({"type":"nothing"})",
       "JSON schema, at #: type must be null, boolean, integer, number, string, array, object, or "
       "a "
       "list of these"},
      {R"({"properties":{"a":{"$ref":"#/nowhere"}}})",
       "JSON schema, at #/properties/a: $ref \"#/nowhere\" refers to nothing in the schema"},
      {R"({"$ref":"http://a.b/c"})",
       "JSON schema, at #: $ref \"http://a.b/c\" refers to another document; only references "
       "within "
       "the schema are followed"},
      {R"({"$ref":"#"})", "JSON schema, at #: a $ref that leads back to itself says nothing"},
      {R"({"type":"array","uniqueItems":true})", "JSON schema, at #: uniqueItems is not supported"},
      {R"({"type":"string","pattern":"(a)\\1"})",
       "JSON schema, at #: regular expression: backreferences are not supported at byte 5"},
      {R"({"minLength":-1})", "JSON schema, at #: minLength must be a whole number from 0"},
      {R"({"type":"string","enum":[1]})", "JSON schema: no value satisfies it"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
       "JSON schema: no value satisfies it"},
      {R"({"unevaluatedProperties":false})",
       "JSON schema, at #: unevaluatedProperties is not supported"},
      {"5", "JSON schema, at #: a schema is an object, true or false"},
  };
  for (const auto& [schema, message] : kCases) EXPECT_EQ(refusal(schema), message) << schema;
}

TEST(CompileSchema, NoWayLeadsIntoWhatHasNoText) {
  // The optional member, the second item and the alternative have no value at all.
  check({
      {R"({"type":"object","properties":{"a":{"enum":[]}},"additionalProperties":false})",
       {"{}"},
       {R"({"a)"}},
      {R"({"type":"array","prefixItems":[{},{"enum":[]}]})", {"[]", "[1]"}, {"[1,2]"}},
      {R"({"anyOf":[{"type":"object","properties":{"a":false},"required":["a"]},{"const":1}]})",
       {"1"},
       {"{}"}},
  });
  auto program =
      compile_text(GrammarKind::kJsonSchema, R"({"type":"object","properties":{"a":false},
      "patternProperties":{"^x":false}})");
  ASSERT_TRUE(program.ok());
  Matcher matcher(**program);
  EXPECT_TRUE(matcher.accept(R"({"b)"));
  EXPECT_FALSE(Matcher(**program).accept(R"({"x)"));
  EXPECT_FALSE(Matcher(**program).accept(R"({"\u0078)"));
}

}  // namespace
}  // namespace maru::grammar
