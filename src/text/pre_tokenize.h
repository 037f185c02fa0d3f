// text/pre_tokenize.h - cuts a text into the words that byte-level BPE works on, each model's way.
//
// Models publish these rules as regular expressions (the comment above each rule in the .cc); here
// they are hand-written scanners, linear for any text. Called by bpe.cc; model/load_vocab asks for
// the defaults that come with a name.
// Source: the tokenizer.json files of the models; names as GGUF files use them
// (tokenizer.ggml.pre).
// Threads: constant tables and free functions.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "text/unicode.h"

namespace maru::text {

// The end of the word that begins at code point `begin`, looking no further than `end`; `begin`
// itself where no word of this rule begins there.
using WordRule = size_t (*)(const CodePoints& text, size_t begin, size_t end);

// Appends the ends of what it cuts [begin, end) into: for rules that must see a whole piece.
using PieceRule = void (*)(const CodePoints& text, size_t begin, size_t end,
                           std::vector<size_t>& ends);

// One of the two.
struct SplitRule {
  constexpr SplitRule(WordRule rule) : word(rule) {}    // NOLINT: implicit by design
  constexpr SplitRule(PieceRule rule) : piece(rule) {}  // NOLINT: implicit by design
  WordRule word = nullptr;
  PieceRule piece = nullptr;
};

struct PreTokenizer {
  std::string_view name;
  // Each rule cuts the pieces that the one before left; what it does not match stays in one piece.
  std::span<const SplitRule> rules;
  bool nfc = false;            // the text is normalized first
  bool ignore_merges = false;  // a word that is a token is taken whole
  bool add_bos = false;        // where the file does not say
};

// All of them.
std::span<const PreTokenizer> pre_tokenizers();
// nullptr for a name nobody knows.
const PreTokenizer* find_pre_tokenizer(std::string_view name);

// The ends of the words, as indexes of code points, ascending; the last one is text.size().
std::vector<size_t> split_words(const CodePoints& text, const PreTokenizer& pre);

}  // namespace maru::text
