#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/utf8.h"

namespace maru::text {
namespace {

CharClass class_of_category(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return kUpper;
    case UTF8PROC_CATEGORY_LL:
      return kLower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kOtherLetter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return kSymbol;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return kSeparator;
    default:
      return kOther;
  }
}

// PropList.txt, White_Space.
bool is_white_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

CharClass look_up(char32_t code) {
  const CharClass base = class_of_category(utf8proc_category(static_cast<int32_t>(code)));
  return static_cast<CharClass>(base | (is_white_space(code) ? kSpace : 0));
}

constexpr char32_t kDecomposedMin = 0xC0;  // nothing below has a decomposition
constexpr char32_t kMarkMin = 0x300;       // nothing below is a combining mark

int combining_class(int32_t code) {
  if (static_cast<char32_t>(code) < kMarkMin) return 0;
  return utf8proc_get_property(code)->combining_class;
}

void append_decomposed(std::vector<int32_t>& out, char32_t code) {
  if (code < kDecomposedMin) {
    out.push_back(static_cast<int32_t>(code));
    return;
  }
  // The longest canonical decomposition has four code points (U+1F82 and its like).
  std::array<int32_t, 8> parts;
  const auto n = utf8proc_decompose_char(static_cast<int32_t>(code), parts.data(), parts.size(),
                                         UTF8PROC_DECOMPOSE, nullptr);
  CHECK(n > 0 && n <= static_cast<utf8proc_ssize_t>(parts.size()));
  out.insert(out.end(), parts.begin(), parts.begin() + n);
}

// Canonical order: each run of combining marks sorted by class, equal ones in their order. A sort,
// where utf8proc's own loop takes quadratic time on a long run of marks.
void order_marks(std::vector<int32_t>& codes) {
  std::vector<uint64_t> keys;  // class (8 bits), index in the run (35 bits), code (21 bits)
  size_t begin = 0;
  while (begin < codes.size()) {
    keys.clear();
    size_t end = begin;
    for (; end < codes.size(); ++end) {
      const auto mark_class = static_cast<uint64_t>(combining_class(codes[end]));
      if (mark_class == 0) break;
      keys.push_back(mark_class << 56 | (end - begin) << 21 | static_cast<uint64_t>(codes[end]));
    }
    if (keys.size() > 1) {
      std::ranges::sort(keys);
      for (size_t i = 0; i < keys.size(); ++i) {
        codes[begin + i] = static_cast<int32_t>(keys[i] & 0x1FFFFF);
      }
    }
    begin = std::max(end, begin + 1);
  }
}

void append_composed(std::string& out, std::vector<int32_t>& codes) {
  if (codes.empty()) return;
  order_marks(codes);
  const auto n =
      utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  CHECK(n >= 0);
  for (utf8proc_ssize_t i = 0; i < n; ++i) append_utf8(out, static_cast<char32_t>(codes[i]));
  codes.clear();
}

}  // namespace

CharClass char_class(char32_t code) {
  static const auto kAscii = [] {
    std::array<CharClass, 128> table;
    for (char32_t c = 0; c < table.size(); ++c) table[c] = look_up(c);
    return table;
  }();
  return code < kAscii.size() ? kAscii[code] : look_up(code);
}

CodePoints decode_text(std::string_view text) {
  CodePoints points;
  points.codes.reserve(text.size());
  points.classes.reserve(text.size());
  points.begins.reserve(text.size() + 1);
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Char c = decode_utf8(text.substr(i));
    points.codes.push_back(c.code);
    points.classes.push_back(char_class(c.code));
    points.begins.push_back(i);
    i += c.n_bytes;
  }
  points.begins.push_back(text.size());
  return points;
}

std::string to_nfc(std::string_view text) {
  // Below U+0300 (lead byte 0xCC) every text is in form C already.
  const auto is_low = [](char c) { return static_cast<uint8_t>(c) < 0xCC; };
  if (std::ranges::all_of(text, is_low)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  std::vector<int32_t> codes;
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Char c = decode_utf8(text.substr(i));
    if (c.valid) {
      append_decomposed(codes, c.code);
    } else {
      append_composed(out, codes);
      out.push_back(text[i]);
    }
    i += c.n_bytes;
  }
  append_composed(out, codes);
  return out;
}

std::vector<char32_t> to_nfd(std::string_view text) {
  std::vector<int32_t> codes;
  codes.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Char c = decode_utf8(text.substr(i));
    append_decomposed(codes, c.code);
    i += c.n_bytes;
  }
  order_marks(codes);
  return {codes.begin(), codes.end()};
}

bool is_nonspacing_mark(char32_t code) {
  return code >= kMarkMin && utf8proc_category(static_cast<int32_t>(code)) == UTF8PROC_CATEGORY_MN;
}

bool is_control(char32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<int32_t>(code));
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CO || category == UTF8PROC_CATEGORY_CS;
}

char32_t to_lower(char32_t code) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<int32_t>(code)));
}

size_t first_grapheme_bytes(std::string_view text) {
  const auto is_ascii = [](char c) { return static_cast<uint8_t>(c) < 0x80; };
  if (is_ascii(text[0]) && text[0] != '\r' && (text.size() == 1 || is_ascii(text[1]))) return 1;
  Utf8Char c = decode_utf8(text);
  size_t n_bytes = c.n_bytes;
  int32_t state = 0;
  while (n_bytes < text.size()) {
    const Utf8Char next = decode_utf8(text.substr(n_bytes));
    if (utf8proc_grapheme_break_stateful(static_cast<int32_t>(c.code),
                                         static_cast<int32_t>(next.code), &state)) {
      break;
    }
    n_bytes += next.n_bytes;
    c = next;
  }
  return n_bytes;
}

}  // namespace maru::text
