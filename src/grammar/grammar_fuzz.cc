// Mutated schemas, expressions and grammars: each compiles or is refused with a message; what
// compiles answers what may come next for random texts, or says that a limit was met. Memory is
// bounded whatever the input.
//
// MARU_FUZZ_ITERATIONS sets how many (default 2000), MARU_FUZZ_SEED the first; a failure prints the
// seed.
#include <gtest/gtest.h>

#include <string>

#include "base/rng.h"
#include "grammar/constraint.h"
#include "memory_meter.h"
#include "mutate.h"

namespace maru::grammar {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;
using testing_support::SlowestInput;

struct Seed {
  GrammarKind kind;
  std::string_view source;
};
constexpr Seed kSeeds[] = {
    {GrammarKind::kJsonSchema,
     R"({"type":"object","properties":{"a":{"type":"integer","minimum":-3,"maximum":99},"b":
         {"enum":["x","y",null]}},"required":["a"],"patternProperties":{"^c":{"maxLength":5}},
         "additionalProperties":{"$ref":"#/$defs/d"},"$defs":{"d":{"type":"array","items":
         {"$ref":"#"},"minItems":1,"contains":{"const":1}}}})"},
    {GrammarKind::kJsonSchema,
     R"({"oneOf":[{"properties":{"k":{"const":1}},"required":["k"]},{"not":{"type":"string",
         "pattern":"(a|b)*c{2,9}"}},{"allOf":[{"multipleOf":7},{"anyOf":[{"minimum":0.5},
         {"type":"null"}]}]}],"if":{"minProperties":2},"then":{"maxProperties":3},"else":
         {"propertyNames":{"format":"date"}},"dependentRequired":{"p":["q"]}})"},
    {GrammarKind::kRegex, R"(^(?=.*\d)(?:[a-z가-힣]{1,30}|\u0041+|(x|y(z|w)*)?){0,5}$)"},
    {GrammarKind::kRegex, R"(((a{0,50}){0,50}|(.*b){9}c)*[^\s\w]?)"},
    {GrammarKind::kGbnf,
     "root ::= object\nvalue ::= object | [0-9]+ | \"t\" # c\nobject ::= \"{\" (value (\",\" "
     "value){0,9})? \"}\" | \"\\u00e9\" value{2}"},
    {GrammarKind::kGbnf,
     "root ::= \"a\" root root | (x | y)* \"b\"\nx ::= [^\\n]?\ny ::= x y | \"c\""},
};
constexpr std::string_view kPieces[] = {"(",
                                        ")",
                                        "((((((((",
                                        "[",
                                        "]",
                                        "{0,1000000}",
                                        "{99999}",
                                        "*",
                                        "+",
                                        "?",
                                        "|",
                                        "\\",
                                        ".*",
                                        "(.*a){20}",
                                        "^",
                                        "$",
                                        "\"",
                                        ":",
                                        ",",
                                        "{",
                                        "}",
                                        "::=",
                                        "\n",
                                        "root",
                                        "value",
                                        "1e9",
                                        "-1",
                                        "true",
                                        "\"$ref\":\"#\"",
                                        "\"not\":",
                                        "\"oneOf\":[{},{}]",
                                        "\xff",
                                        "null",
                                        "\"allOf\":[{\"$ref\":\"#\"}]",
                                        "[^a]",
                                        "(?!",
                                        "\"pattern\":\"(a*)*\"",
                                        "\"maxLength\":99999999",
                                        "\"minItems\":4000000000",
                                        "\"multipleOf\":99991"};

std::string mutated(const Seed& seed, Rng& rng) {
  std::string source(seed.source);
  for (uint64_t n = rng.below(5); n > 0; --n) {
    const std::string_view piece = kPieces[rng.below(std::size(kPieces))];
    std::string repeated;
    for (uint64_t i = rng.below(30) == 0 ? 1 + rng.below(3000) : 1; i > 0; --i) repeated += piece;
    source.insert(rng.below(source.size() + 1), repeated);
  }
  if (rng.below(3) == 0) testing_support::mutate_bytes(source, rng, source.size() + 1);
  return source;
}

std::shared_ptr<const Vocabulary> vocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* token :
       {"aa", "ab", "\"a", "\":", "\",", "{\"", "00", "가", "true", "\\u", "  "}) {
    tokens.emplace_back(token);
  }
  return std::make_shared<const Vocabulary>(std::move(tokens));
}

// How many tokens were accepted.
size_t walk(std::shared_ptr<CompiledGrammar> grammar, Rng& rng) {
  Constraint constraint(std::move(grammar));
  for (size_t n = 0; n < 30; ++n) {
    const TokenMask* mask = constraint.mask();
    if (mask == nullptr) return n;  // a limit
    std::vector<TokenId> allowed;
    mask->for_each([&](TokenId id) { allowed.push_back(id); });
    if (allowed.empty()) {
      EXPECT_TRUE(constraint.may_end()) << "a dead end";
      return n;
    }
    if (!constraint.accept(allowed[rng.below(allowed.size())])) return n;  // a limit
  }
  return 30;
}

TEST(GrammarFuzz, MutatedGrammars) {
  const uint64_t n = setting("MARU_FUZZ_ITERATIONS", 2000);
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const auto words = vocabulary();
  SlowestInput slowest("GrammarFuzz.MutatedGrammars");
  size_t n_compiled = 0, n_tokens = 0;
  std::vector<uint64_t> seeds{24677};  // that once failed
  for (uint64_t seed = first; seed < first + n; ++seed) seeds.push_back(seed);
  for (const uint64_t seed : seeds) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const Seed& chosen = kSeeds[rng.below(std::size(kSeeds))];
    const GrammarSpec spec{chosen.kind, mutated(chosen, rng), {}};
    const std::clock_t begin = std::clock();
    const MemoryMeter meter;
    auto grammar = CompiledGrammar::make(spec, words);
    if (!grammar.ok()) {
      ASSERT_FALSE(grammar.error().message.empty());
      ASSERT_NE(grammar.error().code, ErrorCode::kInternal);
    } else {
      ++n_compiled;
      n_tokens += walk(*grammar, rng);
    }
    ASSERT_LE(meter.peak_bytes(), kHostileMemoryMax + spec.source.size());
    slowest.add(seed, begin);
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%zu of %zu compiled, %zu tokens followed\n", n_compiled, seeds.size(), n_tokens);
}

}  // namespace
}  // namespace maru::grammar
