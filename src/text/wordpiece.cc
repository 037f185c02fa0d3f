// text/wordpiece.cc - BERT's WordPiece: clean, lower-case and split the text, then take the longest
// piece again and again.
//
// Source: Devlin et al. 2019 (arXiv:1810.04805) and its published tokenizer: control characters
// out, spaces around ideographs, form D without accents, lower case, punctuation alone.
// GGUF spells a piece that begins a word with a space mark and one that goes on without.
// Threads: see text/encoder.h.
#include <algorithm>

#include "base/utf8.h"
#include "text/byte_trie.h"
#include "text/encoder.h"
#include "text/unicode.h"

namespace maru::text {
namespace {

constexpr size_t kWordCharsMax = 100;  // longer words are unknown, as in the original

bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// White space becomes spaces, what cannot be seen goes, ideographs stand alone.
std::string clean(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.substr(i));
    i += c.n_bytes;
    const bool is_line_space = c.code == '\t' || c.code == '\n' || c.code == '\r';
    if (c.code == 0 || c.code == 0xFFFD || (!is_line_space && is_control(c.code))) continue;
    if ((char_class(c.code) & kSpace) != 0) {
      out.push_back(' ');
    } else if (is_ideograph(c.code)) {
      out.push_back(' ');
      append_utf8(out, c.code);
      out.push_back(' ');
    } else {
      append_utf8(out, c.code);
    }
  }
  return out;
}

bool is_punctuation(char32_t code) {
  const CharClass bits = char_class(code);
  return (bits & kPunctuation) != 0 || (code < 0x80 && (bits & kSymbol) != 0);
}

class WordPiece final : public Encoder {
 public:
  explicit WordPiece(const Vocab& vocab) : vocab_(vocab) {
    std::vector<std::pair<std::string_view, int32_t>> first;
    std::vector<std::pair<std::string_view, int32_t>> next;
    for (size_t i = 0; i < vocab.pieces.size(); ++i) {
      if (!is_text_kind(vocab.kinds[i])) continue;
      const std::string_view piece = vocab.pieces[i];
      if (piece.starts_with(kSpaceMark)) {
        first.emplace_back(piece.substr(kSpaceMark.size()), static_cast<int32_t>(i));
      } else {
        next.emplace_back(piece, static_cast<int32_t>(i));
      }
    }
    first_pieces_ = ByteTrie(std::move(first));
    next_pieces_ = ByteTrie(std::move(next));
  }

  void encode(std::string_view text, Scratch&, std::vector<TokenId>& out) const override {
    std::string word;
    size_t n_chars = 0;
    const auto end_word = [&] {
      if (n_chars > 0) append_word(word, n_chars, out);
      word.clear();
      n_chars = 0;
    };
    for (const char32_t code : to_nfd(clean(text))) {
      if (is_nonspacing_mark(code)) continue;
      const bool alone = is_punctuation(code);
      if (code == ' ' || alone) end_word();
      if (code == ' ') continue;
      append_utf8(word, to_lower(code));
      ++n_chars;
      if (alone) end_word();
    }
    end_word();
  }

  void append_bytes(TokenId id, std::string& out) const override {
    append_with_spaces(vocab_.pieces[static_cast<size_t>(id)], out);
  }

 private:
  // The id of the longest piece that `text` begins with, or -1; its length into n_bytes.
  static TokenId longest(const ByteTrie& trie, std::string_view text, size_t& n_bytes) {
    TokenId best = -1;
    uint32_t node = ByteTrie::kRoot;
    for (size_t i = 0; i < text.size(); ++i) {
      node = trie.child(node, text[i]);
      if (node == ByteTrie::kNone) break;
      if (trie.value(node) >= 0) {
        best = trie.value(node);
        n_bytes = i + 1;
      }
    }
    return best;
  }

  // A word whose rest fits no piece is unknown as a whole.
  void append_word(std::string_view word, size_t n_chars, std::vector<TokenId>& out) const {
    const size_t n_before = out.size();
    bool known = n_chars <= kWordCharsMax;
    for (std::string_view rest = word; known && !rest.empty();) {
      size_t n_bytes = 0;
      const bool begins = rest.size() == word.size();
      const TokenId id = longest(begins ? first_pieces_ : next_pieces_, rest, n_bytes);
      known = id >= 0;
      out.push_back(id);
      rest.remove_prefix(n_bytes);
    }
    if (known) return;
    out.resize(n_before);
    if (vocab_.unk) out.push_back(*vocab_.unk);
  }

  const Vocab& vocab_;
  ByteTrie first_pieces_;
  ByteTrie next_pieces_;
};

}  // namespace

Result<std::unique_ptr<Encoder>> make_wordpiece(const Vocab& vocab) {
  return std::unique_ptr<Encoder>(std::make_unique<WordPiece>(vocab));
}

}  // namespace maru::text
