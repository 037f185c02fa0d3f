// grammar/utf8_ranges.h - ranges of characters as the sequences of byte ranges that spell them.
//
// Source: table 3-7 of The Unicode Standard; the splitting is that of Thompson's and Cox's regular
// expression compilers.
// Threads: free functions.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "base/function_ref.h"

namespace maru::grammar {

struct CharRange;

struct Utf8ByteRange {
  uint8_t first;
  uint8_t last;
};

// Calls `emit` with 1 to 4 byte ranges for each part; together the parts spell exactly the
// characters of `ranges` that are no surrogates, each once where the ranges do not overlap.
void for_each_utf8_range(std::span<const CharRange> ranges,
                         FunctionRef<void(std::span<const Utf8ByteRange>)> emit);

}  // namespace maru::grammar
