// text/tokenizer_test_vocab.h - small vocabularies for the tests of text/, made by hand.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/utf8.h"
#include "text/vocab.h"

namespace maru::text {

inline void add_piece(Vocab& vocab, std::string piece, TokenKind kind = TokenKind::kNormal,
                      float score = 0) {
  vocab.pieces.push_back(std::move(piece));
  vocab.kinds.push_back(kind);
  vocab.scores.push_back(score);
}

// How a vocabulary of byte-level BPE spells a byte (GPT-2's encoder, written out again here).
inline std::string spell_byte(unsigned wanted) {
  char32_t next = 0x100;
  for (unsigned byte = 0;; ++byte) {
    const bool printable =
        (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD && byte < 0x100);
    const char32_t code = printable ? byte : next++;
    if (byte != wanted) continue;
    std::string out;
    append_utf8(out, code);
    return out;
  }
}

// Ids 0-255 are the bytes; then merges of random pairs; then <bos>, <|end|> (control) and <tool>
// (user-defined).
inline Vocab byte_level_vocab(uint64_t seed, size_t n_merges, std::string pre = "gpt-2") {
  Vocab vocab;
  vocab.pre = std::move(pre);
  for (unsigned byte = 0; byte < 256; ++byte) add_piece(vocab, spell_byte(byte));
  Rng rng(seed);
  for (size_t i = 0; i < n_merges; ++i) {
    // Half of the pairs are of letters that are frequent in the tests.
    const auto pick = [&]() -> const std::string& {
      const size_t letter = 'a' + rng.below(4);
      return vocab.pieces[rng.below(2) == 0 ? letter : rng.below(vocab.pieces.size())];
    };
    const std::string left = pick();
    const std::string right = pick();
    if (left.size() + right.size() > 64) continue;
    vocab.merges.emplace_back(left, right);
    add_piece(vocab, left + right);
  }
  vocab.bos = static_cast<TokenId>(vocab.pieces.size());
  add_piece(vocab, "<bos>", TokenKind::kControl);
  vocab.eos = static_cast<TokenId>(vocab.pieces.size());
  add_piece(vocab, "<|end|>", TokenKind::kControl);
  add_piece(vocab, "<tool>", TokenKind::kUserDefined);
  vocab.eog = {*vocab.eos};
  vocab.add_bos = true;
  return vocab;
}

// Byte tokens 3-258, then letters and a few words; the score falls with the id.
inline Vocab sentencepiece_vocab() {
  Vocab vocab;
  vocab.kind = VocabKind::kSentencePieceBpe;
  add_piece(vocab, "<unk>", TokenKind::kUnknown);
  add_piece(vocab, "<s>", TokenKind::kControl);
  add_piece(vocab, "</s>", TokenKind::kControl);
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (size_t byte = 0; byte < 256; ++byte) {
    add_piece(vocab, std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">",
              TokenKind::kByte);
  }
  float score = 0;
  for (const std::string piece :
       {"▁a", "ab", "▁ab", "aa", "aaaa", "bb", "▁", "a", "b", "c", "가"}) {
    add_piece(vocab, piece, TokenKind::kNormal, score -= 1);
  }
  vocab.unk = 0;
  vocab.bos = 1;
  vocab.eos = 2;
  vocab.add_bos = true;
  return vocab;
}

}  // namespace maru::text
