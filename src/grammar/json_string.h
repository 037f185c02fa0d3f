// grammar/json_string.h - the inside of a JSON string as an automaton over its bytes, made from one
// over the characters that they stand for.
//
// A character may be spelled as itself, with a short escape or with \u (two for a character beyond
// U+FFFF); every spelling goes the same way, so that a pattern, a length or a key holds for the
// text that is meant. What is inside of an escape is kept beside the state. Threads: free
// functions. Source: RFC 8259, section 7.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/hex.h"
#include "base/utf8.h"

namespace maru::grammar {

// Where within an escape. 0 is outside of one.
struct Escape {
  enum Kind : uint32_t {
    kNone,
    kBackslash,     // a backslash was read
    kHex,           // \u and `n` digits
    kLowBackslash,  // a whole high surrogate: \ must follow
    kLowU,          // and u
    kLowHex,        // and `n` digits
  };
  uint32_t kind = kNone;
  uint32_t n = 0;
  uint32_t value = 0;  // of the digits so far
  uint32_t high = 0;   // code of the high surrogate less 0xD800

  uint32_t pack() const { return kind | n << 3 | value << 5 | high << 17; }
  static Escape unpack(uint32_t packed) {
    return {packed & 7, packed >> 3 & 3, packed >> 5 & 0xFFF, packed >> 17 & 0x3FF};
  }
};

struct StringStep {
  enum Result : uint8_t { kDead, kInside, kClosed };
  Result result = kDead;
  uint32_t state = 0;
  uint32_t escape = 0;
};

// The automaton over characters, by their UTF-8 bytes: state 0 is dead, all others lead somewhere.
//   uint32_t next(uint32_t state, uint8_t byte);
//   bool ends(uint32_t state);
//   bool any_spelling(uint32_t state);  // false: no escapes but for what can't stand for itself

template <class Chars>
uint32_t read_char(Chars& chars, uint32_t state, char32_t code) {
  std::string bytes;
  append_utf8(bytes, code);
  for (size_t i = 0; i < bytes.size() && state != 0; ++i) {
    state = chars.next(state, static_cast<uint8_t>(bytes[i]));
  }
  return state;
}

// Whether any character from `first` to `last` leads anywhere that begins with the bytes so far;
// they lead to `state`, are those of `code` above its last `n_free` times 6 bits.
template <class Chars>
bool reads_below(Chars& chars, uint32_t state, char32_t code, unsigned n_free, char32_t first,
                 char32_t last) {
  if (n_free == 0) return true;
  const unsigned shift = 6 * (n_free - 1);
  for (char32_t digit = 0; digit < 64; ++digit) {
    const char32_t from = code | digit << shift, to = from | ((char32_t{1} << shift) - 1);
    if (to < first || from > last) continue;
    const uint32_t next = chars.next(state, static_cast<uint8_t>(0x80 | digit));
    if (next != 0 && reads_below(chars, next, from, n_free - 1, first, last)) return true;
  }
  return false;
}

// Whether any character from `first` to `last` leads anywhere; surrogates are none. Those that
// share their first bytes are dismissed together.
template <class Chars>
bool reads_any(Chars& chars, uint32_t state, char32_t first, char32_t last) {
  for (char32_t code = first; code <= std::min<char32_t>(last, 0x7F); ++code) {
    if (chars.next(state, static_cast<uint8_t>(code)) != 0) return true;
  }
  for (unsigned lead = 0xC2; lead <= 0xF4; ++lead) {
    const unsigned n_free = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    const char32_t code = (lead & (0x3Fu >> n_free)) << (6 * n_free);
    const char32_t end = code | ((char32_t{1} << (6 * n_free)) - 1);
    if (end < first || code > last) continue;
    const uint32_t next = chars.next(state, static_cast<uint8_t>(lead));
    if (next != 0 && reads_below(chars, next, code, n_free, first, last)) return true;
  }
  return false;
}

// The character of a short escape, or 0.
inline char32_t short_escape(uint8_t letter) {
  switch (letter) {
    case '"':
    case '\\':
    case '/':
      return letter;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return 0;
  }
}

// Whether \u with these digits of `n` so far can be completed.
template <class Chars>
bool completes_hex(Chars& chars, uint32_t state, uint32_t n, uint32_t value) {
  const uint32_t n_free = 4 * (4 - n);
  const char32_t first = value << n_free;
  const char32_t last = first | ((1u << n_free) - 1);
  if (!chars.any_spelling(state)) {
    return reads_any(chars, state, first, std::min<char32_t>(last, 0x1F));
  }
  if (first <= 0xDBFF && last >= 0xD800) {
    const char32_t high_first = std::max<char32_t>(first, 0xD800) - 0xD800;
    const char32_t high_last = std::min<char32_t>(last, 0xDBFF) - 0xD800;
    const char32_t code_last = 0x10000 + (high_last << 10) + 0x3FF;
    if (reads_any(chars, state, 0x10000 + (high_first << 10), code_last)) return true;
  }
  return reads_any(chars, state, first, last);
}

// One byte further. Never answers kInside where no string goes on so.
template <class Chars>
StringStep step_string(Chars& chars, uint32_t state, uint32_t packed_escape, uint8_t byte) {
  const auto inside = [](uint32_t next, Escape escape = {}) {
    return next == 0 ? StringStep{} : StringStep{StringStep::kInside, next, escape.pack()};
  };
  Escape escape = Escape::unpack(packed_escape);
  switch (escape.kind) {
    case Escape::kNone: {
      if (byte == '"') {
        if (!chars.ends(state)) return {};
        return {StringStep::kClosed, state, 0};
      }
      if (byte < 0x20) return {};
      if (byte != '\\') return inside(chars.next(state, byte));
      for (const char letter : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'}) {
        if (letter == '/' && !chars.any_spelling(state)) continue;
        const auto code = static_cast<uint8_t>(short_escape(static_cast<uint8_t>(letter)));
        if (chars.next(state, code) != 0) return inside(state, {Escape::kBackslash});
      }
      if (completes_hex(chars, state, 0, 0)) return inside(state, {Escape::kBackslash});
      return {};
    }
    case Escape::kBackslash:
      if (byte == 'u') {
        if (!completes_hex(chars, state, 0, 0)) return {};
        return inside(state, {Escape::kHex});
      }
      if (byte == '/' && !chars.any_spelling(state)) return {};
      if (const char32_t code = short_escape(byte)) {
        return inside(chars.next(state, static_cast<uint8_t>(code)));
      }
      return {};
    case Escape::kLowBackslash:
      return byte == '\\' ? inside(state, {Escape::kLowU, 0, 0, escape.high}) : StringStep{};
    case Escape::kLowU:
      return byte == 'u' ? inside(state, {Escape::kLowHex, 0, 0, escape.high}) : StringStep{};
    case Escape::kHex:
    case Escape::kLowHex:
      break;
    default:
      return {};
  }
  const int digit = hex_digit(static_cast<char>(byte));
  if (digit < 0) return {};
  const uint32_t value = escape.value * 16 + static_cast<uint32_t>(digit);
  const uint32_t n = escape.n + 1;
  if (escape.kind == Escape::kHex) {
    if (!completes_hex(chars, state, n, value)) return {};
    if (n < 4) return inside(state, {Escape::kHex, n, value, 0});
    if (value < 0xD800 || value > 0xDBFF) return inside(read_char(chars, state, value));
    return inside(state, {Escape::kLowBackslash, 0, 0, value - 0xD800});
  }
  const uint32_t n_free = 4 * (4 - n);
  const char32_t low_first = std::max<char32_t>(value << n_free, 0xDC00);
  const char32_t low_last = std::min<char32_t>((value << n_free) | ((1u << n_free) - 1), 0xDFFF);
  if (low_first > low_last) return {};
  const char32_t base = 0x10000 + (escape.high << 10) - 0xDC00;
  if (!reads_any(chars, state, base + low_first, base + low_last)) return {};
  if (n < 4) return inside(state, {Escape::kLowHex, n, value, escape.high});
  return inside(read_char(chars, state, base + low_first));
}

}  // namespace maru::grammar
