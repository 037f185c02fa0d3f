// What every tokenizer promises, on small vocabularies made by hand. Reference ids of real models:
// model/load_vocab_test.cc.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/encoder.h"
#include "text/tokenizer_test_vocab.h"

namespace maru::text {
namespace {

using Ids = std::vector<TokenId>;

Tokenizer make(Vocab vocab) {
  auto made = Tokenizer::create(std::move(vocab));
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return std::move(made).value();
}

Span literal(std::string text) { return {std::move(text), Origin::kLiteral}; }
Span data(std::string text) { return {std::move(text), Origin::kData}; }

TEST(Tokenizer, ControlTokensComeFromLiteralsOnly) {
  const Tokenizer t = make(byte_level_vocab(1, 0));
  const TokenId bos = *t.vocab().bos;
  const TokenId end = *t.vocab().eos;
  EXPECT_EQ(t.encode(Spans{literal("<|end|>")}, false), Ids{end});
  EXPECT_EQ(t.encode(Spans{data("<|end|>")}, false).size(), 7u);
  // A match may cross spans, as long as all of it is literal.
  EXPECT_EQ(t.encode(Spans{literal("<|e"), literal(""), literal("nd|>")}, false), Ids{end});
  EXPECT_EQ(t.encode(Spans{literal("<|e"), data(""), literal("nd|>")}, false), Ids{end});
  // Neither half of a token can be borrowed from a user.
  EXPECT_EQ(t.encode(Spans{literal("<|e"), data("nd|>")}, false).size(), 7u);
  EXPECT_EQ(t.encode(Spans{data("<|e"), literal("nd|>")}, false).size(), 7u);
  EXPECT_EQ(t.encode(Spans{literal("<|end"), data("|"), literal(">")}, false).size(), 7u);
  EXPECT_EQ(t.encode(Spans{literal("<bos>"), data("<bos>"), literal("<|end|>")}, false),
            (Ids{bos, '<', 'b', 'o', 's', '>', end}));
}

TEST(Tokenizer, UserDefinedTokensAreFoundEverywhere) {
  const Tokenizer t = make(byte_level_vocab(1, 0));
  const TokenId tool = static_cast<TokenId>(t.n_vocab()) - 1;
  EXPECT_EQ(t.encode("a<tool>b"), (Ids{'a', tool, 'b'}));
  EXPECT_EQ(t.encode(Spans{data("<to"), literal("ol>")}, false), Ids{tool});
  EXPECT_FALSE(t.is_control(tool));
  EXPECT_EQ(t.decode(Ids{'a', tool, 'b'}, false), "a<tool>b");
}

TEST(Tokenizer, BordersOfSpansDoNotSplitText) {
  const Tokenizer t = make(byte_level_vocab(5, 400));
  const std::string text = "abba cadda  dab 1234 abcd\n\n bad";
  const Ids whole = t.encode(text);
  ASSERT_LT(whole.size(), text.size());  // some merges happened
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(t.encode(Spans{literal(text.substr(0, cut)), data(text.substr(cut))}, false), whole);
    EXPECT_EQ(t.encode(Spans{data(text.substr(0, cut)), literal(text.substr(cut))}, false), whole);
  }
}

TEST(Tokenizer, NormalizesAcrossBorders) {
  const Tokenizer t = make(byte_level_vocab(1, 0, "qwen2"));
  EXPECT_EQ(t.decode(t.encode(Spans{literal("e"), data("\u0301")}, false)), "\u00E9");
  EXPECT_EQ(t.decode(t.encode("e\u0301")), "\u00E9");
  EXPECT_EQ(t.decode(t.encode("e\xFF\u0301")), "e\xFF\u0301");
}

TEST(Tokenizer, AddsBosOnce) {
  const Tokenizer t = make(byte_level_vocab(1, 0));
  const TokenId bos = *t.vocab().bos;
  EXPECT_EQ(t.encode(Spans{data("a")}, true), (Ids{bos, 'a'}));
  EXPECT_EQ(t.encode(Spans{data("a")}, false), Ids{'a'});
  EXPECT_EQ(t.encode(Spans{literal("<bos>"), data("a")}, true), (Ids{bos, 'a'}));
  EXPECT_EQ(t.encode(Spans{}, true), Ids{bos});
  // A user cannot talk the tokenizer out of the BOS token.
  EXPECT_EQ(t.encode(Spans{data("<bos>")}, true).front(), bos);
  EXPECT_EQ(t.encode(Spans{data("<bos>")}, true).size(), 6u);
  // A text whose author asked for it gets what it says.
  EXPECT_EQ(t.encode("<bos>", {.parse_special = true, .add_special = true}), (Ids{bos, bos}));
  EXPECT_EQ(t.encode("a", {.add_special = true}), (Ids{bos, 'a'}));
}

TEST(Tokenizer, TakesTheLongestSpecialAtEachPlace) {
  Vocab vocab = byte_level_vocab(1, 0);
  const auto first = static_cast<TokenId>(vocab.pieces.size());
  for (const char* piece : {"<x", "<x>", "x>y"}) add_piece(vocab, piece, TokenKind::kUserDefined);
  const Tokenizer t = make(std::move(vocab));
  EXPECT_EQ(t.encode("<x>y"), (Ids{first + 1, 'y'}));
  EXPECT_EQ(t.encode("<xx>y"), (Ids{first, first + 2}));
}

TEST(Tokenizer, DecodesWithAndWithoutControl) {
  const Tokenizer t = make(byte_level_vocab(1, 0));
  const TokenId end = *t.vocab().eos;
  const Ids ids = {'h', 'i', end, -1, 1 << 30};
  EXPECT_EQ(t.decode(ids), "hi<|end|>");
  EXPECT_EQ(t.decode(ids, false), "hi");
  EXPECT_EQ(t.decode(Ids{0xEA, 0xB0}), "\xEA\xB0");  // a part of a character
  EXPECT_TRUE(t.is_eog(end));
  EXPECT_TRUE(t.is_control(end));
  EXPECT_FALSE(t.is_eog(-1));
  EXPECT_FALSE(t.is_control(1 << 30));
}

TEST(SentencePiece, MergesByScoreAndFallsBackToBytes) {
  const Tokenizer t = make(sentencepiece_vocab());
  const auto text_of = [&](std::string_view text) {
    std::vector<std::string> pieces;
    for (const TokenId id : t.encode(text))
      pieces.push_back(t.vocab().pieces[static_cast<size_t>(id)]);
    return pieces;
  };
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(text_of("ab"), (Pieces{"▁ab"}));
  EXPECT_EQ(text_of("aab"), (Pieces{"▁a", "ab"}));  // the best score first
  EXPECT_EQ(text_of("b"), (Pieces{"▁", "b"}));
  EXPECT_EQ(text_of("caaaa"), (Pieces{"▁", "c", "aaaa"}));
  EXPECT_EQ(text_of("caaa"), (Pieces{"▁", "c", "aa", "a"}));  // equal scores: leftmost first
  EXPECT_EQ(text_of("é가"), (Pieces{"▁", "<0xC3>", "<0xA9>", "가"}));
  EXPECT_EQ(text_of("\xFF"), (Pieces{"▁", "<0xFF>"}));
  EXPECT_EQ(text_of("<0x41>").size(), 7u);  // the spelling of a byte token is no byte token
  EXPECT_EQ(t.encode(""), Ids{});
  EXPECT_EQ(t.decode(t.encode("ab é")), " ab é");
}

TEST(SentencePiece, EachTextBetweenControlTokensBeginsWithASpace) {
  const Tokenizer t = make(sentencepiece_vocab());
  const TokenId space_a = 259;
  EXPECT_EQ(t.encode(Spans{data("a"), literal("</s>"), data("a")}, true),
            (Ids{1, space_a, 2, space_a}));
  EXPECT_EQ(t.encode(Spans{literal("<s></s>")}, true), (Ids{1, 2}));
}

TEST(SentencePiece, TakesUnusedPiecesApart) {
  Vocab vocab = sentencepiece_vocab();
  vocab.add_space_prefix = false;
  for (size_t i = 0; i < vocab.pieces.size(); ++i) {
    if (vocab.pieces[i] == "aaaa") vocab.kinds[i] = TokenKind::kUnused;
  }
  const Tokenizer t = make(std::move(vocab));
  EXPECT_EQ(t.encode("aaaa"), (Ids{262, 262}));  // aa aa
}

TEST(WordPiece, CleansSplitsAndTakesTheLongest) {
  Vocab vocab;
  vocab.kind = VocabKind::kWordPiece;
  for (const char* piece : {"[UNK]", "[CLS]", "[SEP]"})
    add_piece(vocab, piece, TokenKind::kControl);
  for (const char* piece : {"▁un", "able", "a", "▁a", "▁,", "▁一", "▁\u1112", "\u1161", "\u11AB"}) {
    add_piece(vocab, piece);
  }
  vocab.unk = 0;
  vocab.cls = 1;
  vocab.sep = 2;
  vocab.add_bos = vocab.add_sep = true;
  const Tokenizer t = make(std::move(vocab));
  EXPECT_EQ(t.encode("UNable, \u00C1"), (Ids{3, 4, 7, 6}));
  EXPECT_EQ(t.encode("a\u200Da一a"), (Ids{6, 5, 8, 6}));  // joiner gone, ideograph alone
  EXPECT_EQ(t.encode("한 unx"), (Ids{9, 10, 11, 0}));     // form D; a bad rest spoils the word
  EXPECT_EQ(t.encode(std::string(100, 'a')).size(), 100u);
  EXPECT_EQ(t.encode(std::string(101, 'a')), Ids{0});
  EXPECT_EQ(t.encode("a", {.add_special = true}), (Ids{1, 6, 2}));
  EXPECT_EQ(t.encode(" \n\t ", {.add_special = true}), (Ids{1, 2}));
}

TEST(Unigram, FindsTheBestSum) {
  Vocab vocab;
  vocab.kind = VocabKind::kUnigram;
  add_piece(vocab, "<unk>", TokenKind::kUnknown);
  add_piece(vocab, "▁ab", TokenKind::kNormal, -5);
  add_piece(vocab, "▁a", TokenKind::kNormal, -1);
  add_piece(vocab, "b", TokenKind::kNormal, -2);
  add_piece(vocab, "▁", TokenKind::kNormal, -3);
  add_piece(vocab, "bc", TokenKind::kNormal, -2.5);
  vocab.unk = 0;
  vocab.remove_extra_whitespaces = true;
  const Tokenizer t = make(std::move(vocab));
  EXPECT_EQ(t.encode("ab"), (Ids{2, 3}));  // -1 - 2 beats -5
  EXPECT_EQ(t.encode("abc"), (Ids{2, 5}));
  EXPECT_EQ(t.encode("  a \n b  "), (Ids{2, 4, 3}));
  EXPECT_EQ(t.encode("a한국"), (Ids{2, 0}));  // unknown ones in a row are one
  EXPECT_EQ(t.encode(" "), Ids{});
}

TEST(Encoder, ReadsBytePiecesStrictly) {
  EXPECT_EQ(byte_of_piece("<0x00>"), 0);
  EXPECT_EQ(byte_of_piece("<0xfF>"), 255);
  for (const char* bad : {"<0x-1>", "<0x1>", "<0x100>", "<0xG0>", "0x41", "<0x+4>", "<0x 4>", ""}) {
    EXPECT_EQ(byte_of_piece(bad), -1) << bad;
  }
}

TEST(Tokenizer, RefusesVocabulariesThatContradictThemselves) {
  using testing::HasSubstr;
  const auto error_of = [](Vocab vocab) {
    const auto made = Tokenizer::create(std::move(vocab));
    return made.ok() ? "no error" : made.error().message;
  };
  EXPECT_THAT(error_of({}), HasSubstr("no tokens"));
  Vocab vocab = byte_level_vocab(1, 0);
  vocab.kinds.pop_back();
  EXPECT_THAT(error_of(vocab), HasSubstr("types"));
  vocab = byte_level_vocab(1, 0);
  vocab.eog.push_back(-1);
  EXPECT_THAT(error_of(vocab), HasSubstr("end-of-generation token is number -1"));
  vocab = byte_level_vocab(1, 0);
  vocab.pad = static_cast<TokenId>(vocab.pieces.size());
  EXPECT_THAT(error_of(vocab), HasSubstr("padding token"));
  vocab = byte_level_vocab(1, 0, "nobody");
  EXPECT_THAT(error_of(vocab), HasSubstr("'nobody'"));
  vocab = byte_level_vocab(1, 0);
  vocab.pieces[7] = std::string(kPieceBytesMax + 1, 'x');
  EXPECT_THAT(error_of(vocab), HasSubstr("too large at token 7"));
}

}  // namespace
}  // namespace maru::text
