// The mask of a state is exactly the set of tokens that the matcher would accept, for random texts
// of many grammars over a vocabulary of whole words, pieces of characters and everything between.
#include "grammar/masker.h"

#include <set>

#include "base/rng.h"
#include "base/utf8.h"
#include "grammar/test_grammars.h"

namespace maru::grammar {
namespace {

std::vector<std::string> make_tokens() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  const std::vector<std::string> parts = {
      "\"",  "{",  "}",    "[",   "]",    ",",     ":",    " ",  "\n",  "\\",  "\\u", "00",
      "e9",  "ab", "abc",  "xy",  "true", "false", "nu",   "ll", "1",   "23",  "-",   ".5",
      "e+3", "한", "국",   "é",   "😀",   "\\n",   "\\\"", "a",  "b",   "key", "val", "2024",
      "T",   "Z",  "d83d", "de0", "(",    ")",     "\t",   "  ", "    "};
  std::set<std::string> known(tokens.begin(), tokens.end());
  Rng rng(7);
  while (tokens.size() < 4000) {
    std::string token;
    for (uint64_t n = 1 + rng.below(5); n > 0; --n) token += parts[rng.below(parts.size())];
    if (rng.below(4) == 0) token = token.substr(rng.below(token.size()));
    if (rng.below(4) == 0) token.resize(1 + rng.below(token.size()));
    if (token.empty() || (!known.insert(token).second && rng.below(50) != 0)) continue;
    tokens.push_back(token);
  }
  tokens.emplace_back();  // a control token
  tokens.emplace_back(300, 'a');
  return tokens;
}

struct Fixture {
  std::vector<std::string> tokens = make_tokens();
  Vocabulary vocabulary{tokens};
};

const Fixture& fixture() {
  static const Fixture kFixture;
  return kFixture;
}

// How many states were compared.
size_t check_walks(const GrammarSpec& spec, uint64_t seed, size_t n_walks, size_t n_tokens) {
  const Fixture& fix = fixture();
  auto program = compile(spec);
  EXPECT_TRUE(program.ok()) << spec.source << program.error().message;
  if (!program.ok()) return 0;
  (*program)->needless_escapes = seed % 2 == 0;
  Masker masker(**program, fix.vocabulary);
  TokenMask mask(fix.tokens.size());
  size_t n_states = 0;
  for (size_t walk = 0; walk < n_walks; ++walk) {
    Rng rng(seed + walk);
    Matcher matcher(**program);
    std::string text;
    for (size_t i = 0; i < n_tokens; ++i) {
      EXPECT_TRUE(masker.fill(matcher, mask)) << spec.source << " after " << text;
      std::vector<TokenId> allowed;
      for (size_t id = 0; id < fix.tokens.size(); ++id) {
        const auto token = static_cast<TokenId>(id);
        const bool expected = !fix.tokens[id].empty() && matcher.allows(fix.tokens[id]);
        EXPECT_EQ(mask.has(token), expected)
            << spec.source << "\nafter " << text << "\ntoken " << fix.tokens[id];
        if (mask.has(token) != expected) return n_states;
        if (expected) allowed.push_back(token);
      }
      ++n_states;
      EXPECT_EQ(mask.count(), allowed.size());
      EXPECT_TRUE(matcher.may_end() || !allowed.empty()) << "a dead end after " << text;
      if (allowed.empty()) break;
      // Long tokens lead through more states.
      const auto pick = [&] { return allowed[rng.below(allowed.size())]; };
      TokenId token = pick();
      for (int i = 0; i < 2; ++i) {
        const TokenId other = pick();
        if (fix.tokens[size_t(other)].size() > fix.tokens[size_t(token)].size()) token = other;
      }
      text += fix.tokens[static_cast<size_t>(token)];
      EXPECT_TRUE(matcher.accept(fix.tokens[static_cast<size_t>(token)]));
    }
  }
  return n_states;
}

constexpr const char* kSchemas[] = {
    "true",
    R"({"type":"object"})",
    R"({"type":"object","properties":{"key":{"type":"string"},"keyab":{"type":"integer"},
        "한":{"type":"boolean"}},"required":["key"],"additionalProperties":false})",
    R"({"type":"object","properties":{"a":{"type":"string","maxLength":3},"ab":{"minLength":2,
        "maxLength":9,"type":"string"}},"required":["a","ab"]})",
    R"({"type":"array","items":{"type":"string","pattern":"^[a-b가-힣]{1,4}$"},"minItems":2,
        "maxItems":4})",
    R"({"type":"array","items":{"enum":["ab","abc","é😀",23,null,{"a":[1]}]}})",
    R"({"type":"string","format":"date-time"})",
    R"({"type":"string","pattern":"한|\\\\|\"x"})",
    R"({"anyOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
        {"type":"object","properties":{"a":{"type":"string"},"b":{}},"required":["a"]}]})",
    R"({"$ref":"#/$defs/t","$defs":{"t":{"type":"object","properties":{"a":{"$ref":"#/$defs/t"},
        "b":{"type":"array","items":{"$ref":"#/$defs/t"}}},"additionalProperties":false}}})",
    R"({"type":"number","minimum":-2.5,"maximum":123.45})",
    R"({"type":"object","patternProperties":{"^a":{"type":"null"}},"additionalProperties":
        {"type":"boolean"},"minProperties":2,"maxProperties":3})",
};

constexpr const char* kRegexes[] = {
    "(ab|abc)*x?",
    "[a-z]{0,20}",
    "[^\\n]{2,5}\\n(true|false)",
    ".*한국.*",
    "\\d{4}-\\d\\d(T[^Z]+Z)?",
};

constexpr const char* kGbnfs[] = {
    "root ::= \"(\" root \")\" root | \"\"",
    "root ::= item (\",\" item)*\nitem ::= [a-z]+ | \"{\" root \"}\" | \"\\\"\" [^\"]* \"\\\"\"",
    "root ::= \"a\" root | \"ab\" root root | \"a\"",
};

TEST(Masker, EqualsTheMatcher) {
  size_t n_states = 0;
  for (const char* source : kSchemas) {
    n_states += check_walks({GrammarKind::kJsonSchema, source, {}}, 1, 1, 20);
    n_states += check_walks({GrammarKind::kJsonSchema, source, {}}, 2, 1, 20);
  }
  for (const char* source : kRegexes) {
    n_states += check_walks({GrammarKind::kRegex, source, {}}, 1, 2, 20);
  }
  for (const char* source : kGbnfs) {
    n_states += check_walks({GrammarKind::kGbnf, source, {}}, 1, 2, 20);
  }
  n_states += check_walks({GrammarKind::kChoice, "", {"ab", "abc", "한국", "a\nb"}}, 1, 8, 25);
  EXPECT_GT(n_states, 200u);
}

TEST(Masker, OneTokenAllowed) {
  TokenMask mask(200);
  EXPECT_EQ(mask.only(), -1);
  mask.add(130);
  EXPECT_EQ(mask.only(), 130);
  mask.add(131);
  EXPECT_EQ(mask.only(), -1);
  mask.remove(131);
  mask.add(3);
  EXPECT_EQ(mask.only(), -1);
}

}  // namespace
}  // namespace maru::grammar
