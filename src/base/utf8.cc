#include "base/utf8.h"

#include <algorithm>

#include "base/check.h"

namespace maru {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

struct LeadByte {
  size_t n_bytes;  // 0 = cannot start a character
  uint8_t second_min;
  uint8_t second_max;
};

// Table 3-7: the second byte's range excludes overlong forms, surrogates and codes above U+10FFFF.
LeadByte lead_byte(uint8_t b) {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};
  if (b < 0xF0) return {3, 0x80, 0xBF};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b < 0xF4) return {4, 0x80, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// How many bytes at the front belong to one well-formed character or to a beginning of one.
size_t well_formed_part(std::string_view text, const LeadByte& lead) {
  size_t n = 1;
  while (n < lead.n_bytes && n < text.size()) {
    const auto b = static_cast<uint8_t>(text[n]);
    const uint8_t low = n == 1 ? lead.second_min : 0x80;
    const uint8_t high = n == 1 ? lead.second_max : 0xBF;
    if (b < low || b > high) break;
    ++n;
  }
  return n;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text) {
  CHECK(!text.empty());
  const auto first = static_cast<uint8_t>(text[0]);
  const LeadByte lead = lead_byte(first);
  if (lead.n_bytes == 1) return {first, 1, true};
  if (lead.n_bytes == 0 || well_formed_part(text, lead) < lead.n_bytes) {
    return {kReplacement, 1, false};
  }
  char32_t code = first & (0x7Fu >> lead.n_bytes);
  for (size_t i = 1; i < lead.n_bytes; ++i) {
    code = (code << 6) | (static_cast<uint8_t>(text[i]) & 0x3Fu);
  }
  return {code, lead.n_bytes, true};
}

size_t find_invalid_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Char c = decode_utf8(text.substr(i));
    if (!c.valid) return i;
    i += c.n_bytes;
  }
  return std::string_view::npos;
}

void append_utf8(std::string& out, char32_t code) {
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) code = kReplacement;
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

size_t complete_utf8_prefix(std::string_view bytes) {
  // An unfinished character is at most the last three bytes.
  const size_t first = bytes.size() > 3 ? bytes.size() - 3 : 0;
  for (size_t i = first; i < bytes.size(); ++i) {
    const LeadByte lead = lead_byte(static_cast<uint8_t>(bytes[i]));
    const std::string_view rest = bytes.substr(i);
    if (lead.n_bytes > rest.size() && well_formed_part(rest, lead) == rest.size()) return i;
  }
  return bytes.size();
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  size_t i = 0;
  while (i < bytes.size()) {
    const std::string_view rest = bytes.substr(i);
    const Utf8Char c = decode_utf8(rest);
    if (c.valid) {
      out.append(rest.substr(0, c.n_bytes));
      i += c.n_bytes;
    } else {
      append_utf8(out, kReplacement);
      const LeadByte lead = lead_byte(static_cast<uint8_t>(rest[0]));
      i += lead.n_bytes == 0 ? 1 : well_formed_part(rest, lead);
    }
  }
  return out;
}

}  // namespace maru
