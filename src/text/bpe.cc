// text/bpe.cc - byte-level BPE (GPT-2 and most models since): words of bytes, merged by rank.
//
// Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2,
// and the byte alphabet of its published encoder. Threads: see text/encoder.h.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/utf8.h"
#include "text/encoder.h"
#include "text/pair_map.h"
#include "text/piece_table.h"
#include "text/pre_tokenize.h"

namespace maru::text {
namespace {

// Vocabularies spell each byte as a printable character: itself where it is one, else U+0100 on.
bool is_printable(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct ByteAlphabet {
  std::array<std::string, 256> spelling;  // of each byte, UTF-8
  std::array<int, 0x144> byte_of_code;    // -1 for other characters
  ByteAlphabet() {
    byte_of_code.fill(-1);
    char32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const char32_t code = is_printable(byte) ? byte : next++;
      append_utf8(spelling[byte], code);
      byte_of_code[code] = static_cast<int>(byte);
    }
  }
};

const ByteAlphabet& alphabet() {
  static const ByteAlphabet kAlphabet;
  return kAlphabet;
}

class Bpe final : public Encoder {
 public:
  Bpe(const Vocab& vocab, const PreTokenizer& pre)
      : vocab_(vocab), pre_(pre), ids_(vocab.pieces), merges_(vocab.merges.size()) {
    ids_.insert_all([&](size_t i) { return is_text_kind(vocab.kinds[i]); });
    for (size_t byte = 0; byte < 256; ++byte) {
      byte_ids_[byte] = ids_.find(alphabet().spelling[byte]);
    }
    add_merges();
  }

  void encode(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const override {
    std::string normalized;
    if (pre_.nfc) {
      normalized = to_nfc(text);
      text = normalized;
    }
    const CodePoints points = decode_text(text);
    size_t begin = 0;
    for (const size_t end : split_words(points, pre_)) {
      const size_t from = points.begins[begin];
      encode_word(text.substr(from, points.begins[end] - from), scratch, out);
      begin = end;
    }
  }

  void append_bytes(TokenId id, std::string& out) const override {
    const std::string_view piece = vocab_.pieces[static_cast<size_t>(id)];
    if (vocab_.kinds[static_cast<size_t>(id)] == TokenKind::kUserDefined) {
      out.append(piece);
      return;
    }
    for (size_t i = 0; i < piece.size();) {
      if (piece[i] > 0x20 && piece[i] < 0x7F) {  // most are ASCII, which spells itself
        out.push_back(piece[i++]);
        continue;
      }
      const Utf8Char c = decode_utf8(piece.substr(i));
      const int byte =
          c.valid && c.code < alphabet().byte_of_code.size() ? alphabet().byte_of_code[c.code] : -1;
      // A piece that is not spelled in the alphabet stands for itself.
      if (byte < 0) {
        out.append(piece.substr(i, c.n_bytes));
      } else {
        out.push_back(static_cast<char>(byte));
      }
      i += c.n_bytes;
    }
  }

 private:
  void add_merges() {
    const auto& merges = vocab_.merges;
    TokenId next = 0;
    TokenId left_id = -1;
    // Left and right of each, in turn.
    const auto piece = [&](size_t i) -> std::string_view {
      return i % 2 == 0 ? merges[i / 2].first : merges[i / 2].second;
    };
    ids_.find_all(2 * merges.size(), piece, [&](size_t i, TokenId id) {
      if (i % 2 == 0) {
        left_id = id;
        return;
      }
      const size_t rank = i / 2;
      const TokenId merged = merged_id(merges[rank].first, merges[rank].second, next);
      next = merged + 1;
      // A merge of pieces that the vocabulary lacks can never happen.
      if (left_id < 0 || id < 0 || merged < 0) return;
      merges_.insert(left_id, id, {static_cast<uint32_t>(rank), merged});
    });
  }

  // The id of both pieces together. Vocabularies list pieces in the order in which they were
  // merged, so it mostly is `guess`; which of two equal pieces counts, only the table knows.
  TokenId merged_id(std::string_view left, std::string_view right, TokenId guess) const {
    const auto i = static_cast<size_t>(guess);
    if (i < vocab_.pieces.size() && is_text_kind(vocab_.kinds[i]) && !ids_.has_twins()) {
      const std::string_view piece = vocab_.pieces[i];
      if (piece.size() == left.size() + right.size() && piece.starts_with(left) &&
          piece.ends_with(right)) {
        return guess;
      }
    }
    std::string both(left);
    both += right;
    return ids_.find(both);
  }

  void encode_word(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const {
    if (scratch.words.find(word, out)) return;
    const size_t n_before = out.size();
    merge_word(word, scratch, out);
    scratch.words.remember(word, std::span(out).subspan(n_before));
  }

  void merge_word(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const {
    if (pre_.ignore_merges) {
      std::string spelling;
      for (const char c : word) spelling += alphabet().spelling[static_cast<uint8_t>(c)];
      if (const TokenId id = ids_.find(spelling); id >= 0) {
        out.push_back(id);
        return;
      }
    }
    scratch.merger.clear();
    for (size_t i = 0; i < word.size(); ++i) {
      const TokenId id = byte_ids_[static_cast<uint8_t>(word[i])];
      scratch.merger.push(static_cast<uint32_t>(i), 1, id);
    }
    scratch.merger.run([this](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
      if (left.id < 0 || right.id < 0) return std::nullopt;
      return merges_.find(left.id, right.id);
    });
    for (const Symbol& symbol : scratch.merger.symbols()) {
      if (symbol.n_bytes == 0) continue;
      if (symbol.id >= 0) {
        out.push_back(symbol.id);
      } else if (vocab_.unk) {
        out.push_back(*vocab_.unk);
      }
    }
  }

  const Vocab& vocab_;
  const PreTokenizer& pre_;
  PieceTable ids_;
  std::array<TokenId, 256> byte_ids_;  // -1 where the vocabulary lacks the byte
  PairMap merges_;
};

}  // namespace

Result<std::unique_ptr<Encoder>> make_bpe(const Vocab& vocab) {
  const PreTokenizer* pre = find_pre_tokenizer(vocab.pre);
  if (pre == nullptr) {
    return Error::unsupported(fmt::format(
        "the vocabulary names the pre-tokenizer '{}', which Maru does not know", vocab.pre));
  }
  return std::unique_ptr<Encoder>(std::make_unique<Bpe>(vocab, *pre));
}

}  // namespace maru::text
