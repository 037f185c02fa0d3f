#include "base/base64.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace maru {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kForeign = 0xFF;

constexpr std::array<uint8_t, 256> make_values() {
  std::array<uint8_t, 256> values{};
  values.fill(kForeign);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}
constexpr std::array<uint8_t, 256> kValues = make_values();

uint32_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = byte_at(bytes, i) << 16;
    if (n > 1) group |= byte_at(bytes, i + 1) << 8;
    if (n > 2) group |= byte_at(bytes, i + 2);
    out.push_back(kAlphabet[group >> 18]);
    out.push_back(kAlphabet[(group >> 12) & 63]);
    out.push_back(n > 1 ? kAlphabet[(group >> 6) & 63] : '=');
    out.push_back(n > 2 ? kAlphabet[group & 63] : '=');
  }
  return out;
}

Result<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return Error::invalid("base64 text must have a multiple of 4 bytes");
  size_t n_padding = 0;
  while (n_padding < 2 && n_padding < text.size() && text[text.size() - 1 - n_padding] == '=') {
    ++n_padding;
  }
  const size_t n_digits = text.size() - n_padding;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t group = 0;
  for (size_t i = 0; i < n_digits; ++i) {
    const uint8_t value = kValues[byte_at(text, i)];
    if (value == kForeign) return Error::invalid(fmt::format("not base64 at byte {}", i));
    group = (group << 6) | value;
    if (i % 4 == 3) {
      out.push_back(static_cast<char>(group >> 16));
      out.push_back(static_cast<char>(group >> 8));
      out.push_back(static_cast<char>(group));
      group = 0;
    }
  }
  // What is left: 2 digits hold 8 bits and 4 unused ones, 3 digits hold 16 and 2.
  if (n_padding == 2) {
    if ((group & 15) != 0) return Error::invalid("base64 text has unused bits that are not 0");
    out.push_back(static_cast<char>(group >> 4));
  } else if (n_padding == 1) {
    if ((group & 3) != 0) return Error::invalid("base64 text has unused bits that are not 0");
    out.push_back(static_cast<char>(group >> 10));
    out.push_back(static_cast<char>(group >> 2));
  }
  return out;
}

}  // namespace maru
