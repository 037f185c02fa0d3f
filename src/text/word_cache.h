// text/word_cache.h - the ids of words that one encode() call has met already: words repeat, and
// most of them are short.
//
// Used by the two BPE tokenizers.
// Threads: none; a WordCache belongs to one encode() call.
#pragma once
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/vocab.h"

namespace maru::text {

class WordCache {
 public:
  static constexpr size_t kWordBytesMax = 32;
  static constexpr size_t kWordsMax = 1 << 14;

  // Appends the ids of a known word to `out`.
  bool find(std::string_view word, std::vector<TokenId>& out) const {
    if (word.size() > kWordBytesMax) return false;
    const auto known = words_.find(word);
    if (known == words_.end()) return false;
    const auto begin = ids_.begin() + static_cast<ptrdiff_t>(known->second.begin);
    out.insert(out.end(), begin, begin + static_cast<ptrdiff_t>(known->second.n_ids));
    return true;
  }

  void remember(std::string_view word, std::span<const TokenId> ids) {
    if (word.size() > kWordBytesMax || words_.size() >= kWordsMax) return;
    words_.emplace(word, Place{ids_.size(), ids.size()});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }

 private:
  struct Place {
    size_t begin;
    size_t n_ids;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
  };
  std::unordered_map<std::string, Place, Hash, std::equal_to<>> words_;
  std::vector<TokenId> ids_;
};

}  // namespace maru::text
