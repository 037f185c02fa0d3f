// base/utf8.h - UTF-8 as bytes from outside: checking, decoding, and cutting only at character
// borders.
//
// Source: The Unicode Standard 15, table 3-7 (well-formed byte sequences).
// Threads: free functions without state.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace maru {

struct Utf8Char {
  char32_t code;   // U+FFFD where the bytes are ill-formed
  size_t n_bytes;  // 1 to 4; 1 where the bytes are ill-formed
  bool valid;
};

// Requires: !text.empty().
Utf8Char decode_utf8(std::string_view text);

// The offset of the first ill-formed byte, or npos where the whole text is well formed.
size_t find_invalid_utf8(std::string_view text);
inline bool is_valid_utf8(std::string_view text) {
  return find_invalid_utf8(text) == std::string_view::npos;
}

void append_utf8(std::string& out, char32_t code);

// The number of leading bytes that can be shown now: everything but an unfinished character at the
// very end (which further bytes may complete). Ill-formed bytes elsewhere count as shown.
size_t complete_utf8_prefix(std::string_view bytes);

// Ill-formed bytes become U+FFFD, one for each maximal subpart (Unicode 15, section 3.9).
std::string replace_invalid_utf8(std::string_view bytes);

}  // namespace maru
