#include "text/pre_tokenize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "base/rng.h"

namespace maru::text {
namespace {

using Words = std::vector<std::string>;

Words words(std::string_view name, std::string_view text) {
  const PreTokenizer* pre = find_pre_tokenizer(name);
  EXPECT_NE(pre, nullptr) << name;
  const CodePoints points = decode_text(text);
  Words out;
  size_t begin = 0;
  for (const size_t end : split_words(points, *pre)) {
    const size_t from = points.begins[begin];
    out.emplace_back(text.substr(from, points.begins[end] - from));
    begin = end;
  }
  return out;
}

TEST(PreTokenize, Gpt2) {
  EXPECT_EQ(words("gpt-2", "I'll go  home'S 123a!? \n x"),
            (Words{"I", "'ll", " go", " ", " home", "'", "S", " 123", "a", "!?", " \n", " x"}));
  EXPECT_EQ(words("gpt-2", "a   "), (Words{"a", "   "}));
  EXPECT_EQ(words("gpt-2", "a\t\tb"), (Words{"a", "\t", "\t", "b"}));
}

TEST(PreTokenize, DigitsAloneBeforeGpt2) {
  EXPECT_EQ(words("smollm", "in 1969  7x"), (Words{"in", " ", "1", "9", "6", "9", "  ", "7", "x"}));
}

TEST(PreTokenize, Llama3AndQwen2) {
  EXPECT_EQ(words("llama-bpe", "She'LL pay $12345.\n\n  Ok\r\n"),
            (Words{"She", "'LL", " pay", " $", "123", "45", ".\n\n", " ", " Ok", "\r\n"}));
  EXPECT_EQ(words("qwen2", "\tx=12"), (Words{"\tx", "=", "1", "2"}));
  EXPECT_EQ(words("qwen2", "it'ſ"), (Words{"it", "'ſ"}));  // long s folds to s
  EXPECT_EQ(words("qwen2", "नई"), (Words{"नई"}));
  EXPECT_EQ(words("qwen2", "की x"), (Words{"क", "ी", " x"}));  // a mark is no letter here
  EXPECT_EQ(words("qwen35", "की x"), (Words{"की", " x"}));     // but here
  EXPECT_EQ(words("seed-coder", "a.\nb"), (Words{"a", ".", "\n", "b"}));
}

TEST(PreTokenize, CasedWords) {
  EXPECT_EQ(words("gpt-4o", "HelloWorld don'T ABCdef 1234 a/b//\n"),
            (Words{"Hello", "World", " don'T", " ABCdef", " ", "123", "4", " a", "/b", "//\n"}));
  EXPECT_EQ(words("tekken", "HTTPServer's 12"), (Words{"HTTPServer", "'s", " ", "1", "2"}));
  EXPECT_EQ(words("tekken", "AB한CD"), (Words{"AB한", "CD"}));
}

TEST(PreTokenize, Deepseek) {
  EXPECT_EQ(words("deepseek-v3", "abc你好かな12345 .x\n.y !!"),
            (Words{"abc", "你好かな", "123", "45", " .", "x", "\n", ".y", " !!"}));
  EXPECT_EQ(words("deepseek-coder", "a b,c\n12"), (Words{"a", " b", ",", "c", "\n", "1", "2"}));
}

TEST(PreTokenize, DeepseekLlm) {
  EXPECT_EQ(words("deepseek-llm", "ab Cd中文 12,x\n \u3000.  y  "),
            (Words{"ab", " Cd", "中文", " ", "1", "2", ",", "x", "\n", " ", "\u3000", ".", " ",
                   " y", "  "}));
  // Georgian small letters came to the cased ones after the list was made.
  EXPECT_EQ(words("deepseek-llm", "aბ"), (Words{"a", "ბ"}));
  EXPECT_EQ(words("deepseek-llm", "中  \n"), (Words{"中", "  ", "\n"}));
}

TEST(PreTokenize, KimiKeepsHanApart) {
  EXPECT_EQ(words("kimi-k2", "你好Abc世界 It'S 12345 a/b//\n"),
            (Words{"你好", "Abc", "世界", " It'S", " ", "123", "45", " a", "/b", "//\n"}));
  EXPECT_EQ(words("kimi-k2", "xか漢かX々"), (Words{"xか", "漢", "か", "X", "々"}));
  EXPECT_EQ(words("kimi-k2", "//\n/"), (Words{"//\n", "/"}));  // gpt-4o takes the last one too
}

TEST(PreTokenize, NumbersInThreesFromTheEnd) {
  EXPECT_EQ(
      words("superbpe", "by the way, 1234567 or 12 or 123456x7"),
      (Words{"by the way, ", "1", "234", "567", " or ", "12", " or ", "123", "456", "x", "7"}));
  EXPECT_EQ(words("afmoe", "n=12345 မြန်မာ, 한국 a!!\n"),
            (Words{"n", "=", "12", "345", " ", "မြန်မာ", ",", " ", "한국", " a", "!!\n"}));
}

TEST(PreTokenize, Chameleon) {
  EXPECT_EQ(
      words("chameleon", "a<sentinel:12>b IMGIMGACZ IMGIMGACEGIZ"),
      (Words{"a", "<", "sentinel", ":", "1", "2", ">", "b", " ", "IMGIMGACZ", " IMGIMGACEGIZ"}));
  EXPECT_EQ(words("chameleon", "\tif  x12 a.b=  "),
            (Words{"\t", "if", "  ", "x", "1", "2", " a", ".", "b", "=", "  "}));
}

TEST(PreTokenize, ExaoneMoeKeepsWordsTogether) {
  EXPECT_EQ(words("exaone-moe", "She'll go home  now, 12 की बात.\n\n!/\n"),
            (Words{"She", "'ll", " go home", " ", " now", ",", " ", "1", "2", " की बात", ".\n",
                   "\n", "!/\n"}));
}

TEST(PreTokenize, FalconDefaultAndBloom) {
  EXPECT_EQ(words("falcon", "a=b 1234"), (Words{"a", "=", "b", " ", "123", "4"}));
  EXPECT_EQ(words("default", "a=b 1234"), (Words{"a", "=", "b", " ", "123", "4"}));
  EXPECT_EQ(words("bloom", "Hi there, you"), (Words{"Hi", " there", ",", " you"}));
  EXPECT_EQ(words("viking", "x1 2"), (Words{"x", "1", " ", "2"}));
}

TEST(PreTokenize, NamesAreKnownOnce) {
  std::set<std::string_view> names;
  for (const PreTokenizer& pre : pre_tokenizers()) EXPECT_TRUE(names.insert(pre.name).second);
  EXPECT_EQ(find_pre_tokenizer("no such"), nullptr);
}

// Every rule cuts any text into words that are not empty and together are the text.
TEST(PreTokenize, EveryRuleCoversRandomText) {
  Rng rng(11);
  const std::u32string letters = U"aZ'sLL \t\r\n19.,!/$가한かな你ी\u0301😀ſé_－।\u3000\u0085";
  for (int round = 0; round < 3000; ++round) {
    CodePoints points;
    for (size_t n = rng.below(30); n > 0; --n) {
      points.codes.push_back(letters[rng.below(letters.size())]);
      points.classes.push_back(char_class(points.codes.back()));
      points.begins.push_back(points.begins.size());
    }
    points.begins.push_back(points.codes.size());
    for (const PreTokenizer& pre : pre_tokenizers()) {
      const std::vector<size_t> ends = split_words(points, pre);
      size_t begin = 0;
      for (const size_t end : ends) {
        ASSERT_GT(end, begin) << pre.name << " round " << round;
        begin = end;
      }
      ASSERT_EQ(begin, points.size()) << pre.name << " round " << round;
    }
  }
}

}  // namespace
}  // namespace maru::text
