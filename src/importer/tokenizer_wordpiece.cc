// importer/tokenizer_wordpiece.cc - WordPiece, as BERT has it (GGUF's "bert"): a piece that begins
// a word is written with a space mark, one that goes on without.
#include <fmt/format.h>

#include "importer/tokenizer.h"

namespace maru::importer {
namespace {

using text::TokenKind;
using text::Vocab;

// Only the usual way to prepare a text is known to programs that read GGUF.
Result<void> check_normalizer(const Json& tokenizer) {
  for (const Json* part : parts_of(tokenizer, "normalizer")) {
    const std::string type = text_of(*part, "type");
    const Json& lower = member(*part, "lowercase");
    if (type == "BertNormalizer" && lower.is_boolean() && !lower.get<bool>()) {
      return Error::unsupported(
          "tokenizer.json: WordPiece that keeps upper case; only what is uncased is read");
    }
    if (type != "BertNormalizer") {
      return Error::unsupported(fmt::format(
          "tokenizer.json: WordPiece behind a normalizer '{}'; BertNormalizer is read", type));
    }
  }
  return {};
}

}  // namespace

Result<TokenizerDraft> draft_wordpiece(const Json& tokenizer, size_t n_vocab) {
  const Json& model = member(tokenizer, "model");
  const Json& pieces = member(model, "vocab");
  if (!pieces.is_object())
    return Error::corrupt("tokenizer.json: the WordPiece model has no vocab");
  MARU_TRY_VOID(check_normalizer(tokenizer));
  std::string prefix = text_of(model, "continuing_subword_prefix");
  if (prefix.empty()) prefix = "##";
  Vocab vocab;
  vocab.kind = text::VocabKind::kWordPiece;
  fill_unused(vocab, n_vocab);
  for (const auto& [piece, id] : pieces.items()) MARU_TRY_VOID(set_piece(vocab, piece, id));
  MARU_TRY_VOID(set_added_tokens(vocab, tokenizer));
  for (size_t i = 0; i < n_vocab; ++i) {
    if (vocab.kinds[i] == TokenKind::kControl) continue;
    std::string& piece = vocab.pieces[i];
    piece = piece.starts_with(prefix) ? piece.substr(prefix.size()) : "▁" + piece;
  }
  vocab.pre = "bert-bge";
  return TokenizerDraft{std::move(vocab), "bert"};
}

}  // namespace maru::importer
