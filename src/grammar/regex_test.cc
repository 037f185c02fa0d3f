#include "grammar/regex.h"

#include "grammar/test_grammars.h"

namespace maru::grammar {
namespace {

std::string whole(const std::string& regex, std::string_view text) {
  return verdict(GrammarKind::kRegex, regex, text);
}

std::string search(const std::string& regex, const std::string& text) {
  return verdict(GrammarKind::kJsonSchema, dump_json(Json{{"type", "string"}, {"pattern", regex}}),
                 dump_json(Json(text)));
}

TEST(Regex, Whole) {
  EXPECT_EQ(whole("a|bc*", "bccc"), "yes");
  EXPECT_EQ(whole("a|bc*", "abc"), "no");
  EXPECT_EQ(whole("[a-c\\d_-]{2,3}", "a-"), "yes");
  EXPECT_EQ(whole("[a-c\\d_-]{2,3}", "abca"), "no");
  EXPECT_EQ(whole("[^a]", "é"), "yes");
  EXPECT_EQ(whole("[^a]", "\xC3"), "no");
  EXPECT_EQ(whole(".", "\n"), "no");
  EXPECT_EQ(whole("(?:x(?<n>y)?){2}", "xyx"), "yes");
  EXPECT_EQ(whole("\\u{1F600}\\uD83D\\uDE00\\x41\\u0042", "😀😀AB"), "yes");
  EXPECT_EQ(whole("^a$", "a"), "yes");
  EXPECT_EQ(whole("a{,2}b{x", "aab{x"), "yes");
  EXPECT_EQ(whole("a*?b+?", "aab"), "yes");
  EXPECT_EQ(whole("[가-힣]+", "한국어"), "yes");
  EXPECT_EQ(whole("[가-힣]+", "한국x"), "no");
}

TEST(Regex, Search) {
  EXPECT_EQ(search("b", "abc"), "yes");
  EXPECT_EQ(search("^b", "abc"), "no");
  EXPECT_EQ(search("^a|c$", "xc"), "yes");
  EXPECT_EQ(search("^a|c$", "xcx"), "no");
  EXPECT_EQ(search("(^|,)a(,|$)", "b,a"), "yes");
  EXPECT_EQ(search("(^|,)a(,|$)", "ba"), "no");
  EXPECT_EQ(search("^(?!foo)[a-z]+$", "fob"), "yes");
  EXPECT_EQ(search("^(?!foo)[a-z]+$", "food"), "no");
  EXPECT_EQ(search("^(?=.*[0-9])(?=.*[a-z]).{3,}$", "ab1"), "yes");
  EXPECT_EQ(search("^(?=.*[0-9])(?=.*[a-z]).{3,}$", "abc"), "no");
  EXPECT_EQ(search("", "anything"), "yes");
  EXPECT_EQ(search("\\\\\"", "a\\\"b"), "yes");
}

TEST(Regex, RefusesWhatItDoesNotMean) {
  for (const char* bad :
       {"(", ")", "[", "a**", "*a", "[b-a]", "\\", "a{3,2}", "(?<n", "\\u12", "a\xff"}) {
    const auto program = compile_text(GrammarKind::kRegex, bad);
    ASSERT_FALSE(program.ok()) << bad;
    EXPECT_EQ(program.error().code, ErrorCode::kInvalidArgument) << program.error().message;
  }
  for (const char* hard :
       {"(a)\\1", "\\ba", "(?<=a)b", "(?i)a", "\\p{L}", "(^a)*", "a++", "(x(?=a))"}) {
    const auto program = compile_text(GrammarKind::kRegex, hard);
    ASSERT_FALSE(program.ok()) << hard;
    EXPECT_EQ(program.error().code, ErrorCode::kUnsupported) << program.error().message;
  }
  EXPECT_EQ(compile_text(GrammarKind::kRegex, "(?!a)a").error().message,
            "no text belongs to the regular expression");
  EXPECT_EQ(compile_text(GrammarKind::kRegex, std::string(64, '(') + "(").error().message,
            "regular expression: groups nest deeper than 64 at byte 65");
}

TEST(Regex, BombsCostNothing) {
  EXPECT_EQ(whole("(a*)*b", std::string(5000, 'a')), "no");
  EXPECT_EQ(whole("(a|aa)+", std::string(2000, 'a')), "yes");
  EXPECT_EQ(whole("a{0,1000000}b", std::string(1000, 'a') + "b"), "yes");
  EXPECT_EQ(whole("((a{0,20}){0,20}){0,20}", std::string(100, 'a')), "yes");
}

}  // namespace
}  // namespace maru::grammar
