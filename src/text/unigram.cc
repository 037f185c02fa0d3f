// text/unigram.cc - SentencePiece's Unigram model (XLM-RoBERTa, T5): of all ways to cut a text into
// pieces, the one with the highest sum of scores.
//
// Source: Kudo 2018 (arXiv:1804.10959), section 3.1; one forward pass (Viterbi) whose work is the
// text's length times the longest piece. Threads: see text/encoder.h.
#include <algorithm>
#include <limits>

#include "base/utf8.h"
#include "text/byte_trie.h"
#include "text/charsmap.h"
#include "text/encoder.h"
#include "text/unicode.h"

namespace maru::text {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the worst piece, as in SentencePiece

class Unigram final : public Encoder {
 public:
  Unigram(const Vocab& vocab, Charsmap charsmap) : vocab_(vocab), charsmap_(std::move(charsmap)) {
    std::vector<std::pair<std::string_view, int32_t>> pieces;
    for (size_t i = 0; i < vocab.pieces.size(); ++i) {
      const TokenKind kind = vocab.kinds[i];
      if (kind == TokenKind::kNormal || kind == TokenKind::kUserDefined) {
        pieces.emplace_back(vocab.pieces[i], static_cast<int32_t>(i));
      }
    }
    trie_ = ByteTrie(std::move(pieces));
    unknown_score_ = std::ranges::min(vocab.scores) - kUnknownPenalty;
  }

  void encode(std::string_view text, Scratch&, std::vector<TokenId>& out) const override {
    const std::string marked = mark_words(charsmap_.normalize(text));
    std::vector<Best> best(marked.size() + 1);
    best[0].score = 0;
    for (size_t at = 0; at < marked.size();) {
      const size_t n_char = decode_utf8(std::string_view(marked).substr(at)).n_bytes;
      look_from(marked, at, n_char, best);
      at += n_char;
    }
    const size_t n_before = out.size();
    for (size_t end = marked.size(); end > 0; end = best[end].begin) {
      const TokenId id = best[end].id;
      // Unknown characters in a row are one unknown token.
      const bool repeats = id < 0 && out.size() > n_before && out.back() == -1;
      if (!repeats) out.push_back(id);
    }
    std::reverse(out.begin() + static_cast<ptrdiff_t>(n_before), out.end());
    resolve_unknown(out, n_before);
  }

  void append_bytes(TokenId id, std::string& out) const override {
    append_with_spaces(vocab_.pieces[static_cast<size_t>(id)], out);
  }

 private:
  // The best way to cut the text up to here.
  struct Best {
    double score = -std::numeric_limits<double>::infinity();
    size_t begin = 0;  // of the last piece
    TokenId id = -1;   // of the last piece; -1 for an unknown character
  };

  // Words separated and begun (or ended) by space marks, as the model was trained.
  std::string mark_words(std::string_view text) const {
    std::string out;
    out.reserve(text.size() + text.size() / 2 + kSpaceMark.size());
    const bool as_suffix = vocab_.treat_whitespace_as_suffix;
    bool at_border = true;      // nothing, or white space, is just before
    bool mark_pending = false;  // a mark goes before the next word
    if (vocab_.add_space_prefix && !as_suffix) mark_pending = true;
    for (size_t i = 0; i < text.size();) {
      const Utf8Char c = decode_utf8(text.substr(i));
      const std::string_view bytes = text.substr(i, c.n_bytes);
      i += c.n_bytes;
      const bool is_space = (char_class(c.code) & kSpace) != 0;
      if (is_space && vocab_.remove_extra_whitespaces) {
        mark_pending = mark_pending || !at_border;
        at_border = true;
        continue;
      }
      if (mark_pending) out += kSpaceMark;
      mark_pending = false;
      at_border = false;
      out += is_space && c.code == ' ' ? kSpaceMark : bytes;
    }
    if (vocab_.add_space_prefix && as_suffix && !out.empty()) out += kSpaceMark;
    return out;
  }

  // Extends the best way to `at` by every piece that begins there.
  void look_from(std::string_view text, size_t at, size_t n_char, std::vector<Best>& best) const {
    const double so_far = best[at].score;
    bool has_single = false;
    const auto offer = [&](size_t end, double score, TokenId id) {
      if (so_far + score > best[end].score) best[end] = {so_far + score, at, id};
    };
    uint32_t node = ByteTrie::kRoot;
    for (size_t i = at; i < text.size(); ++i) {
      node = trie_.child(node, text[i]);
      if (node == ByteTrie::kNone) break;
      const TokenId id = trie_.value(node);
      if (id < 0) continue;
      offer(i + 1, vocab_.scores[static_cast<size_t>(id)], id);
      has_single = has_single || i + 1 == at + n_char;
    }
    if (!has_single) offer(at + n_char, unknown_score_, -1);
  }

  // Puts the unknown token where look_from() had none, or nothing where the vocabulary has none.
  void resolve_unknown(std::vector<TokenId>& out, size_t begin) const {
    const auto first = out.begin() + static_cast<ptrdiff_t>(begin);
    if (vocab_.unk) {
      std::replace(first, out.end(), TokenId{-1}, *vocab_.unk);
    } else {
      out.erase(std::remove(first, out.end(), TokenId{-1}), out.end());
    }
  }

  const Vocab& vocab_;
  Charsmap charsmap_;
  ByteTrie trie_;
  double unknown_score_ = 0;
};

}  // namespace

Result<std::unique_ptr<Encoder>> make_unigram(const Vocab& vocab) {
  if (vocab.scores.empty()) {
    return Error::corrupt("a Unigram vocabulary needs scores, this one has none");
  }
  MARU_TRY(charsmap, Charsmap::parse(vocab.precompiled_charsmap));
  return std::unique_ptr<Encoder>(std::make_unique<Unigram>(vocab, std::move(charsmap)));
}

}  // namespace maru::text
