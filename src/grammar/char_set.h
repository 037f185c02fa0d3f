// grammar/char_set.h - a set of Unicode characters, and the classes that expressions name.
//
// regex.cc and gbnf.cc. Threads: one owner.
#pragma once
#include <optional>
#include <vector>

#include "grammar/terms.h"

namespace maru::grammar {

class CharSet {
 public:
  CharSet() = default;
  CharSet(std::initializer_list<CharRange> ranges) : ranges_(ranges) {}

  void add(char32_t first, char32_t last) { ranges_.push_back({first, last}); }
  void add(const CharSet& other) {
    ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  }
  CharSet complement() const;
  TermId term(Terms& terms) const;
  size_t size() const { return ranges_.size(); }

 private:
  std::vector<CharRange> sorted() const;  // and apart from each other

  std::vector<CharRange> ranges_;
};

// d, D, w, W, s, S after a backslash. Source: ECMA-262, CharacterClassEscape.
std::optional<CharSet> class_escape(char letter);

}  // namespace maru::grammar
