// text/encoder.h - one algorithm that turns ordinary text into token ids; control tokens were taken
// out before.
//
// Inside text/ only: tokenizer.cc picks one by Vocab::kind; bpe.cc, sentencepiece_bpe.cc,
// wordpiece.cc and unigram.cc are the four. An Encoder borrows the Vocab that it was made from.
// Threads: immutable once made.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/merge.h"
#include "text/vocab.h"
#include "text/word_cache.h"

namespace maru::text {

class Encoder {
 public:
  virtual ~Encoder() = default;
  // What may be kept from one stretch of a text to the next.
  struct Scratch {
    Merger merger;
    WordCache words;
  };
  // Appends the ids of one stretch of text between two control tokens (or the ends).
  // Requires: text is not empty; one Scratch for one text.
  virtual void encode(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const = 0;
  // Appends the bytes that a token of ordinary text stands for. Requires: id in range.
  virtual void append_bytes(TokenId id, std::string& out) const = 0;
};

// The white space mark of SentencePiece, U+2581.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// Errors: kUnsupported for an unknown pre-tokenizer; kCorrupt.
Result<std::unique_ptr<Encoder>> make_bpe(const Vocab& vocab);
Result<std::unique_ptr<Encoder>> make_sentencepiece_bpe(const Vocab& vocab);
Result<std::unique_ptr<Encoder>> make_wordpiece(const Vocab& vocab);
Result<std::unique_ptr<Encoder>> make_unigram(const Vocab& vocab);

// True for tokens that plain text can become: everything but control and unknown.
inline bool is_text_kind(TokenKind kind) {
  return kind != TokenKind::kControl && kind != TokenKind::kUnknown;
}

// Appends `piece` with each space mark as a space.
void append_with_spaces(std::string_view piece, std::string& out);
// `text` with each space as a space mark.
std::string with_space_marks(std::string_view text);
// The byte of a piece "<0x41>" (two hex digits, nothing else), or -1.
int byte_of_piece(std::string_view piece);

}  // namespace maru::text
