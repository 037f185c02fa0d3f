// Random bytes and texts through the four tokenizers, and vocabularies that mean harm.
//
// MARU_FUZZ_ITERATIONS sets how many (default 3000); a failure prints the seed.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/utf8.h"
#include "text/pre_tokenize.h"
#include "text/tokenizer.h"
#include "text/tokenizer_test_vocab.h"

namespace maru::text {
namespace {

uint64_t n_iterations() {
  const char* text = std::getenv("MARU_FUZZ_ITERATIONS");
  return text == nullptr ? 3000 : std::strtoull(text, nullptr, 10);
}

// Words, spaces, other scripts, control tokens and pieces of them, and raw bytes.
std::string random_text(Rng& rng) {
  std::string text;
  const size_t n_parts = rng.below(12);
  for (size_t i = 0; i < n_parts; ++i) {
    constexpr std::string_view kParts[] = {"ab",      " ",   "  \n", "cadabra", "한국",    "é",
                                           "e\u0301", "123", "'s",   "😀",      "<|end|>", "<bos",
                                           "<tool>",  "\t",  "</s>", "▁",       "<0x41>",  "।",
                                           "\u200D",  "?!",  "<|"};
    switch (rng.below(4)) {
      case 0:
        for (size_t n = rng.below(6); n > 0; --n) text += static_cast<char>(rng.next());
        break;
      case 1:
        append_utf8(text, static_cast<char32_t>(rng.below(0x110000)));
        break;
      default:
        text += kParts[rng.below(std::size(kParts))];
    }
  }
  return text;
}

// Ids in range, and what every tokenizer promises of spans.
void check(const Tokenizer& tokenizer, Rng& rng) {
  const std::string text = random_text(rng);
  const std::vector<TokenId> ids = tokenizer.encode(text);
  for (const TokenId id : ids) {
    ASSERT_GE(id, 0);
    ASSERT_LT(static_cast<size_t>(id), tokenizer.n_vocab());
    ASSERT_TRUE(!tokenizer.is_control(id) || id == tokenizer.vocab().unk) << id;
  }
  const size_t cut = rng.below(text.size() + 1);
  const Spans spans = {{text.substr(0, cut), Origin::kData}, {text.substr(cut), Origin::kData}};
  ASSERT_EQ(tokenizer.encode(spans, false), ids);
  (void)tokenizer.decode(tokenizer.encode(text, {.parse_special = true, .add_special = true}));
}

TEST(TokenizerFuzz, ByteLevelGivesEveryTextBack) {
  size_t next_pre = 0;
  for (uint64_t seed = 1; seed <= n_iterations(); seed += 50) {
    const PreTokenizer& pre = pre_tokenizers()[next_pre++ % pre_tokenizers().size()];
    const auto tokenizer =
        Tokenizer::create(byte_level_vocab(seed, seed % 400, std::string(pre.name)));
    ASSERT_TRUE(tokenizer.ok());
    for (uint64_t i = 0; i < 50; ++i) {
      Rng rng(seed + i);
      check(*tokenizer, rng);
      const std::string text = random_text(rng);
      const std::string back = tokenizer->decode(tokenizer->encode(text));
      ASSERT_EQ(back, pre.nfc ? to_nfc(text) : text) << pre.name;
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed + i << " " << pre.name;
    }
  }
}

TEST(TokenizerFuzz, SentencePieceGivesEveryTextBack) {
  const auto tokenizer = Tokenizer::create(sentencepiece_vocab());
  ASSERT_TRUE(tokenizer.ok());
  for (uint64_t seed = 1; seed <= n_iterations(); ++seed) {
    Rng rng(seed);
    check(*tokenizer, rng);
    std::string text;
    append_utf8(text, 'a');
    text += random_text(rng);
    std::string expected = " " + text;
    // A mark in the text itself comes back as the space that it stands for.
    for (size_t at = 0; (at = expected.find("▁", at)) != std::string::npos;)
      expected.replace(at, 3, " ");
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), expected) << "seed " << seed;
  }
}

// Pieces of random bytes, kinds, scores, merges and ids: create() refuses, or all still holds.
Vocab hostile_vocab(Rng& rng) {
  Vocab vocab;
  vocab.kind = static_cast<VocabKind>(rng.below(4));
  vocab.pre = pre_tokenizers()[rng.below(pre_tokenizers().size())].name;
  const size_t n = 1 + rng.below(60);
  for (size_t i = 0; i < n; ++i) {
    std::string piece = rng.below(3) == 0 ? random_text(rng) : spell_byte(rng.below(256) & 0xFF);
    if (rng.below(3) == 0) piece = "▁" + piece;
    if (rng.below(9) == 0) piece = "<0x-1>";
    add_piece(vocab, std::move(piece), static_cast<TokenKind>(1 + rng.below(6)),
              static_cast<float>(rng.uniform() * 4 - 8));
  }
  for (size_t i = rng.below(40); i > 0; --i) {
    vocab.merges.emplace_back(vocab.pieces[rng.below(n)], vocab.pieces[rng.below(n)]);
  }
  if (rng.below(4) == 0) vocab.scores.clear();
  const auto id = [&] { return static_cast<TokenId>(rng.below(n + (rng.below(20) == 0 ? 2 : 0))); };
  if (rng.below(2) == 0) vocab.unk = id();
  if (rng.below(2) == 0) vocab.bos = id();
  if (rng.below(2) == 0) vocab.eos = id();
  if (rng.below(2) == 0) vocab.cls = id();
  if (rng.below(2) == 0) vocab.sep = id();
  vocab.eog = {id()};
  vocab.add_bos = rng.below(2) == 0;
  vocab.add_eos = rng.below(2) == 0;
  vocab.add_sep = rng.below(2) == 0;
  vocab.add_space_prefix = rng.below(2) == 0;
  vocab.remove_extra_whitespaces = rng.below(2) == 0;
  vocab.treat_whitespace_as_suffix = rng.below(2) == 0;
  vocab.escape_whitespaces = rng.below(2) == 0;
  if (rng.below(2) == 0) {
    vocab.precompiled_charsmap.assign(4 + 4 * (1 + rng.below(600)) + rng.below(40), '\0');
    for (char& c : vocab.precompiled_charsmap) c = static_cast<char>(rng.next());
    const auto n_trie = static_cast<uint32_t>((vocab.precompiled_charsmap.size() - 4) / 8 * 4);
    for (int b = 0; b < 4; ++b) {
      vocab.precompiled_charsmap[static_cast<size_t>(b)] = static_cast<char>(n_trie >> (8 * b));
    }
  }
  return vocab;
}

TEST(TokenizerFuzz, HostileVocabulariesAreRefusedOrSound) {
  size_t n_accepted = 0;
  for (uint64_t seed = 1; seed <= n_iterations(); ++seed) {
    Rng rng(seed);
    const auto tokenizer = Tokenizer::create(hostile_vocab(rng));
    if (!tokenizer.ok()) continue;
    ++n_accepted;
    for (int i = 0; i < 3; ++i) check(*tokenizer, rng);
    if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(n_accepted, n_iterations() / 4);
}

}  // namespace
}  // namespace maru::text
