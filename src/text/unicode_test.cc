#include "text/unicode.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>

#include "base/rng.h"
#include "base/utf8.h"

namespace maru::text {
namespace {

TEST(Unicode, ClassesOfKnownCharacters) {
  EXPECT_EQ(char_class(U'A'), kUpper);
  EXPECT_EQ(char_class(U'ǅ'), kUpper);  // title case
  EXPECT_EQ(char_class(U'z'), kLower);
  EXPECT_EQ(char_class(U'ʰ'), kOtherLetter);
  EXPECT_EQ(char_class(U'가'), kOtherLetter);
  EXPECT_EQ(char_class(0x301), kMark);
  EXPECT_EQ(char_class(U'Ⅷ'), kNumber);
  EXPECT_EQ(char_class(U'२'), kNumber);
  EXPECT_EQ(char_class(U'_'), kPunctuation);
  EXPECT_EQ(char_class(U'+'), kSymbol);
  EXPECT_EQ(char_class(U'😀'), kSymbol);
  EXPECT_EQ(char_class(U' '), kSeparator | kSpace);
  EXPECT_EQ(char_class(0x3000), kSeparator | kSpace);
  EXPECT_EQ(char_class(U'\n'), kOther | kSpace);
  EXPECT_EQ(char_class(0x85), kOther | kSpace);
  EXPECT_EQ(char_class(0x200B), kOther);    // zero width space is no white space
  EXPECT_EQ(char_class(0x10FFFF), kOther);  // unassigned
}

TEST(Unicode, ComposesAndKeepsBadBytes) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00E9");
  EXPECT_EQ(to_nfc("\u1112\u1161\u11AB"), "한");
  EXPECT_EQ(to_nfc("\u212B"), "\u00C5");               // Angstrom sign
  EXPECT_EQ(to_nfc("a\u0301\u0316"), "\u00E1\u0316");  // ordered, then composed
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093C");         // excluded from composition
  EXPECT_EQ(to_nfc("e\xFF\u0301"), "e\xFF\u0301");     // nothing combines across a bad byte
  EXPECT_EQ(to_nfc("\xE3\x80"), "\xE3\x80");
  EXPECT_EQ(to_nfc("plain caf\u00E9"), "plain caf\u00E9");
}

std::string utf8proc_answer(const std::string& text) {
  auto* raw = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
  std::string out = reinterpret_cast<const char*>(raw);
  std::free(raw);
  return out;
}

TEST(Unicode, ComposesLikeTheLibrary) {
  Rng rng(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    const size_t n = 1 + rng.below(12);
    for (size_t j = 0; j < n; ++j) {
      constexpr char32_t kStarts[] = {0x41, 0x300, 0x1100, 0x1161, 0x11A7, 0xAC00, 0x900, 0x1E00};
      append_utf8(text, static_cast<char32_t>(kStarts[rng.below(8)] + rng.below(0x60)));
    }
    ASSERT_EQ(to_nfc(text), utf8proc_answer(text)) << i;
  }
}

// The marks alternate between two classes: an insertion sort would take 10^11 steps here.
TEST(Unicode, OrdersALongRunOfMarks) {
  std::string text = "x";
  for (int i = 0; i < 300'000; ++i) text += "\u0301\u0316";
  const std::vector<char32_t> ordered = to_nfd(text);
  ASSERT_EQ(ordered.size(), 600'001u);
  EXPECT_EQ(ordered[1], 0x316u);
  EXPECT_EQ(ordered[300'000], 0x316u);
  EXPECT_EQ(ordered[300'001], 0x301u);
}

TEST(Unicode, TakesApartForBert) {
  EXPECT_EQ(to_nfd("한"), (std::vector<char32_t>{0x1112, 0x1161, 0x11AB}));
  EXPECT_TRUE(is_nonspacing_mark(0x301));
  EXPECT_FALSE(is_nonspacing_mark(0x93E));  // spacing vowel sign
  EXPECT_TRUE(is_control(0x200D));
  EXPECT_FALSE(is_control(0x378));  // unassigned
  EXPECT_EQ(to_lower(U'Σ'), U'σ');
}

TEST(Unicode, FindsTheFirstGrapheme) {
  EXPECT_EQ(first_grapheme_bytes("ab"), 1u);
  EXPECT_EQ(first_grapheme_bytes("e\u0301x"), 3u);
  EXPECT_EQ(first_grapheme_bytes("\r\nx"), 2u);
  EXPECT_EQ(first_grapheme_bytes("👨‍👩‍👧x"), std::string("👨‍👩‍👧").size());
}

}  // namespace
}  // namespace maru::text
