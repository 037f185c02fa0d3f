#include "grammar/utf8_ranges.h"

#include <algorithm>
#include <string>

#include "base/utf8.h"
#include "grammar/terms.h"

namespace maru::grammar {
namespace {

using Emit = FunctionRef<void(std::span<const Utf8ByteRange>)>;

constexpr char32_t kLastOfLength[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

// Requires: both ends are spelled with the same number of bytes.
void split(char32_t first, char32_t last, Emit emit) {
  std::string low, high;
  append_utf8(low, first);
  append_utf8(high, last);
  // Below a shared beginning every part but the last byte must run over its whole range.
  for (size_t n_free = 1; n_free < low.size(); ++n_free) {
    const char32_t mask = (char32_t{1} << (6 * n_free)) - 1;
    if ((first & ~mask) == (last & ~mask)) break;
    if ((first & mask) != 0) {
      split(first, first | mask, emit);
      return split((first | mask) + 1, last, emit);
    }
    if ((last & mask) != mask) {
      split(first, (last & ~mask) - 1, emit);
      return split(last & ~mask, last, emit);
    }
  }
  std::array<Utf8ByteRange, 4> sequence;
  for (size_t i = 0; i < low.size(); ++i) {
    sequence[i] = {static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])};
  }
  emit(std::span(sequence).first(low.size()));
}

void split_by_length(char32_t first, char32_t last, Emit emit) {
  for (const char32_t end : kLastOfLength) {
    if (first > last) return;
    if (first > end) continue;
    split(first, std::min(last, end), emit);
    first = end + 1;
  }
}

}  // namespace

void for_each_utf8_range(std::span<const CharRange> ranges, Emit emit) {
  for (const CharRange& range : ranges) {
    const char32_t last = std::min<char32_t>(range.last, 0x10FFFF);
    if (range.first > last) continue;
    if (range.first < 0xD800) split_by_length(range.first, std::min<char32_t>(last, 0xD7FF), emit);
    if (last > 0xDFFF) split_by_length(std::max<char32_t>(range.first, 0xE000), last, emit);
  }
}

}  // namespace maru::grammar
