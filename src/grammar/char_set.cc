#include "grammar/char_set.h"

#include <algorithm>

namespace maru::grammar {
namespace {

constexpr char32_t kLastChar = 0x10FFFF;

}  // namespace

std::vector<CharRange> CharSet::sorted() const {
  std::vector<CharRange> ranges = ranges_;
  std::ranges::sort(ranges, {}, &CharRange::first);
  std::vector<CharRange> apart;
  for (const CharRange& range : ranges) {
    if (!apart.empty() && range.first <= apart.back().last + 1) {
      apart.back().last = std::max(apart.back().last, range.last);
    } else {
      apart.push_back(range);
    }
  }
  return apart;
}

CharSet CharSet::complement() const {
  CharSet set;
  char32_t next = 0;
  for (const CharRange& range : sorted()) {
    if (range.first > next) set.add(next, range.first - 1);
    next = range.last + 1;
  }
  if (next <= kLastChar) set.add(next, kLastChar);
  return set;
}

TermId CharSet::term(Terms& terms) const { return terms.chars(sorted()); }

std::optional<CharSet> class_escape(char letter) {
  switch (letter) {
    case 'd':
      return CharSet{{'0', '9'}};
    case 'w':
      return CharSet{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    case 's':
      return CharSet{{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                     {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                     {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    case 'D':
    case 'W':
    case 'S':
      return class_escape(static_cast<char>(letter - 'A' + 'a'))->complement();
    default:
      return std::nullopt;
  }
}

}  // namespace maru::grammar
