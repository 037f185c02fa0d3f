// grammar/cursor.h - a place in a source that is read from the front: what the parsers of regular
// expressions and of GBNF share. They say in their own words what is wrong. Threads: one owner.
#pragma once
#include <cstddef>
#include <optional>
#include <string_view>

#include "base/hex.h"
#include "base/utf8.h"

namespace maru::grammar {

class Cursor {
 protected:
  explicit Cursor(std::string_view source) : source_(source) {}

  bool done() const { return at_ >= source_.size(); }
  char peek() const { return done() ? '\0' : source_[at_]; }
  bool is_next(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!is_next(text)) return false;
    at_ += text.size();
    return true;
  }
  // One character; nothing where the next bytes are not UTF-8. Requires: !done().
  std::optional<char32_t> take_char() {
    const Utf8Char c = decode_utf8(source_.substr(at_));
    if (!c.valid) return std::nullopt;
    at_ += c.n_bytes;
    return c.code;
  }
  // The value of n_digits, at most 8; nothing where another character comes first.
  std::optional<char32_t> take_hex(size_t n_digits) {
    char32_t value = 0;
    for (size_t i = 0; i < n_digits; ++i, ++at_) {
      const int digit = hex_digit(peek());
      if (digit < 0) return std::nullopt;
      value = value * 16 + static_cast<char32_t>(digit);
    }
    return value;
  }

  std::string_view source_;
  size_t at_ = 0;
};

}  // namespace maru::grammar
