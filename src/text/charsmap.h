// text/charsmap.h - the precompiled normalization table of SentencePiece models: a double-array
// trie from byte sequences to their replacements.
//
// Used by unigram.cc. The table comes from the model file: every index is checked.
// Source: SentencePiece's normalizer (Kudo and Richardson 2018, section 3.4); the layout of its
// darts-clone trie (unit: bits 0-7 label, 8 has-leaf, 9 wide, 10-30 offset, 31 leaf).
// Threads: immutable once made.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maru::text {

class Charsmap {
 public:
  Charsmap() = default;  // changes nothing
  // Errors: kCorrupt where the sizes inside contradict the size of the blob.
  static Result<Charsmap> parse(std::string_view blob);

  // Replaces grapheme by grapheme, as the tokenizers library of the published models does: a
  // grapheme of fewer than 6 bytes as a whole where it has an entry, else each of its characters.
  std::string normalize(std::string_view text) const;

 private:
  // What the shortest entry that `text` begins with is replaced by.
  std::optional<std::string_view> replacement(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;  // each ended by a NUL
};

}  // namespace maru::text
