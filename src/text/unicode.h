// text/unicode.h - what the tokenizers need to know of Unicode: general categories, white space,
// and normalization that stays linear on hostile text.
//
// Called by the tokenizers of this folder. It knows no vocabulary.
// Source: The Unicode Standard 15 through utf8proc 2.8; UAX #15 (normalization forms).
// Threads: free functions without state.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace maru::text {

// A set of bits; a code point has exactly one of the first nine, and perhaps kSpace.
using CharClass = uint16_t;
inline constexpr CharClass kUpper = 1 << 0;        // Lu, Lt
inline constexpr CharClass kLower = 1 << 1;        // Ll
inline constexpr CharClass kOtherLetter = 1 << 2;  // Lm, Lo
inline constexpr CharClass kMark = 1 << 3;         // Mn, Mc, Me
inline constexpr CharClass kNumber = 1 << 4;       // Nd, Nl, No
inline constexpr CharClass kPunctuation = 1 << 5;  // P*
inline constexpr CharClass kSymbol = 1 << 6;       // S*
inline constexpr CharClass kSeparator = 1 << 7;    // Z*
inline constexpr CharClass kOther = 1 << 8;        // C*
inline constexpr CharClass kSpace = 1 << 9;        // the property White_Space
inline constexpr CharClass kLetter = kUpper | kLower | kOtherLetter;

CharClass char_class(char32_t code);

// A text as code points with the place of each. Ill-formed bytes are U+FFFD, one each.
struct CodePoints {
  std::vector<char32_t> codes;
  std::vector<CharClass> classes;  // of each code
  std::vector<size_t> begins;      // byte offset of each code, and the size of the text at the end
  size_t size() const { return codes.size(); }
};
CodePoints decode_text(std::string_view text);

// Normalization form C. Ill-formed bytes stay as they are, and nothing combines across them.
std::string to_nfc(std::string_view text);

// Canonical decomposition (form D) of well-formed text; ill-formed bytes become U+FFFD.
std::vector<char32_t> to_nfd(std::string_view text);

// True for general category Mn, the accents that sit above or below a letter.
bool is_nonspacing_mark(char32_t code);
// True for Cc, Cf, Co and Cs.
bool is_control(char32_t code);
// The simple lower-case mapping.
char32_t to_lower(char32_t code);
// The byte length of the first extended grapheme cluster. Requires: !text.empty().
size_t first_grapheme_bytes(std::string_view text);

}  // namespace maru::text
