// text/sentencepiece_bpe.cc - SentencePiece's BPE (Llama 1 and 2, Gemma, Phi-3, Mistral):
// characters merged by the score of the piece they make, bytes where a character has no piece.
//
// Source: Kudo and Richardson 2018 (arXiv:1808.06226), sections 3.1 and 3.2.
// Threads: see text/encoder.h.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <span>

#include "base/utf8.h"
#include "text/encoder.h"
#include "text/piece_table.h"

namespace maru::text {
namespace {

// A number for each score that is lower where the score is higher, and equal where it is equal.
// Requires: finite. Without its sign the order of floats is that of their bits.
uint32_t rank_of(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes 0
  constexpr uint32_t kSign = 0x80000000u;
  return (bits & kSign) != 0 ? bits : ~bits & ~kSign;
}

class SentencePieceBpe final : public Encoder {
 public:
  explicit SentencePieceBpe(const Vocab& vocab) : vocab_(vocab), ids_(vocab.pieces) {
    ids_.insert_all([&](size_t i) { return is_piece(i); });
    byte_ids_.fill(-1);
    byte_of_id_.resize(vocab.pieces.size(), -1);
    for (size_t i = 0; i < vocab.pieces.size(); ++i) {
      const std::string_view piece = vocab.pieces[i];
      const auto id = static_cast<TokenId>(i);
      if (vocab.kinds[i] == TokenKind::kByte) {
        const int byte = byte_of_piece(piece);
        byte_of_id_[i] = static_cast<int16_t>(byte);
        if (byte >= 0) byte_ids_[static_cast<size_t>(byte)] = id;
      } else if (is_piece(i)) {
        n_piece_bytes_max_ = std::max(n_piece_bytes_max_, piece.size());
        for (size_t at = 0; (at = piece.find(kSpaceMark, at + 1)) != std::string_view::npos;) {
          joins_space_[static_cast<uint8_t>(piece[at - 1])] = true;
        }
      }
    }
  }

  void encode(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const override {
    std::string spaced = vocab_.add_space_prefix ? " " : "";
    spaced += text;
    if (vocab_.escape_whitespaces) spaced = with_space_marks(spaced);
    for (std::string_view rest = spaced; !rest.empty();) {
      const std::string_view word = rest.substr(0, word_bytes(rest));
      rest.remove_prefix(word.size());
      if (scratch.words.find(word, out)) continue;
      const size_t n_before = out.size();
      encode_word(word, scratch.merger, out);
      scratch.words.remember(word, std::span(out).subspan(n_before));
    }
  }

  void append_bytes(TokenId id, std::string& out) const override {
    const auto i = static_cast<size_t>(id);
    if (byte_of_id_[i] >= 0) {
      out.push_back(static_cast<char>(byte_of_id_[i]));
    } else {
      append_with_spaces(vocab_.pieces[i], out);
    }
  }

 private:
  // Of each unused piece that was made: how long its left part was, to take it apart again.
  using LeftParts = std::map<TokenId, uint32_t>;

  // Text can become it other than as a single byte.
  bool is_piece(size_t id) const {
    return vocab_.kinds[id] != TokenKind::kByte && is_text_kind(vocab_.kinds[id]) &&
           !vocab_.pieces[id].empty();
  }

  TokenId id_of(std::string_view piece) const { return ids_.find(piece); }

  // How much of the text can be encoded by itself: up to a space mark that no piece could join to
  // what stands before it.
  size_t word_bytes(std::string_view text) const {
    // Symbols count bytes in 32 bits: a longer word is cut, at a character.
    constexpr size_t kWordBytesMax = 1 << 30;
    for (size_t at = 0; (at = text.find(kSpaceMark, at + 1)) != std::string_view::npos;) {
      if (!joins_space_[static_cast<uint8_t>(text[at - 1])]) return std::min(at, kWordBytesMax);
    }
    if (text.size() <= kWordBytesMax) return text.size();
    return complete_utf8_prefix(text.substr(0, kWordBytesMax));
  }

  void encode_word(std::string_view text, Merger& merger, std::vector<TokenId>& out) const {
    merger.clear();
    for (size_t i = 0; i < text.size();) {
      const Utf8Char c = decode_utf8(text.substr(i));
      merger.push(static_cast<uint32_t>(i), static_cast<uint32_t>(c.n_bytes),
                  id_of(text.substr(i, c.n_bytes)));
      i += c.n_bytes;
    }
    LeftParts left_parts;
    merger.run([&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
      const size_t n_bytes = size_t{left.n_bytes} + right.n_bytes;
      if (n_bytes > n_piece_bytes_max_) return std::nullopt;
      const TokenId id = id_of(text.substr(left.begin, n_bytes));
      if (id < 0) return std::nullopt;
      if (vocab_.kinds[static_cast<size_t>(id)] == TokenKind::kUnused) {
        left_parts.emplace(id, left.n_bytes);
      }
      return Merge{rank_of(vocab_.scores[static_cast<size_t>(id)]), id};
    });
    for (const Symbol& symbol : merger.symbols()) {
      if (symbol.n_bytes > 0) {
        append(text.substr(symbol.begin, symbol.n_bytes), symbol.id, left_parts, out);
      }
    }
  }

  // A piece as its id, an unused one as its parts, one that is not in the vocabulary as bytes.
  void append(std::string_view piece, TokenId id, const LeftParts& left_parts,
              std::vector<TokenId>& out) const {
    if (id < 0) {
      append_fallback(piece, out);
      return;
    }
    const auto at = vocab_.kinds[static_cast<size_t>(id)] == TokenKind::kUnused
                        ? left_parts.find(id)
                        : left_parts.end();
    if (at == left_parts.end()) {
      out.push_back(id);
      return;
    }
    // Both parts are shorter, so the depth is bounded by kPieceBytesMax.
    const std::string_view left = piece.substr(0, at->second);
    const std::string_view right = piece.substr(at->second);
    append(left, id_of(left), left_parts, out);
    append(right, id_of(right), left_parts, out);
  }

  void append_fallback(std::string_view piece, std::vector<TokenId>& out) const {
    for (const char c : piece) {
      const TokenId byte_id = byte_ids_[static_cast<uint8_t>(c)];
      if (byte_id >= 0) {
        out.push_back(byte_id);
      } else if (vocab_.unk) {
        out.push_back(*vocab_.unk);
        return;
      }
    }
  }

  const Vocab& vocab_;
  PieceTable ids_;
  size_t n_piece_bytes_max_ = 0;
  std::array<bool, 256> joins_space_{};  // bytes that stand before a space mark in some piece
  std::array<TokenId, 256> byte_ids_;    // -1 where there is no byte token
  std::vector<int16_t> byte_of_id_;      // -1 for other tokens
};

}  // namespace

Result<std::unique_ptr<Encoder>> make_sentencepiece_bpe(const Vocab& vocab) {
  if (vocab.scores.empty()) {
    return Error::corrupt("a SentencePiece vocabulary needs scores, this one has none");
  }
  return std::unique_ptr<Encoder>(std::make_unique<SentencePieceBpe>(vocab));
}

}  // namespace maru::text
