#include "text/charsmap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/utf8.h"
#include "text/unicode.h"

namespace maru::text {
namespace {

// The longest of the known tables has 33 bytes; a stranger's table may not multiply a text.
constexpr size_t kReplacementBytesMax = 64;

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view blob) {
  Charsmap map;
  if (blob.empty()) return map;
  uint32_t n_trie_bytes = 0;
  if (blob.size() < sizeof n_trie_bytes) return Error::corrupt("the precompiled charsmap is cut");
  std::memcpy(&n_trie_bytes, blob.data(), sizeof n_trie_bytes);
  blob.remove_prefix(sizeof n_trie_bytes);
  if (n_trie_bytes > blob.size() || n_trie_bytes % sizeof(uint32_t) != 0 || n_trie_bytes == 0) {
    return Error::corrupt(
        fmt::format("the precompiled charsmap declares a trie of {} bytes, {} are left",
                    n_trie_bytes, blob.size()));
  }
  map.units_.resize(n_trie_bytes / sizeof(uint32_t));
  std::memcpy(map.units_.data(), blob.data(), n_trie_bytes);
  map.replacements_ = blob.substr(n_trie_bytes);
  return map;
}

std::optional<std::string_view> Charsmap::replacement(std::string_view text) const {
  constexpr uint32_t kHasLeaf = 1u << 8;
  const auto offset = [](uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
  const auto label = [](uint32_t unit) { return unit & ((1u << 31) | 0xFF); };
  if (units_.empty()) return std::nullopt;
  size_t node = offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    node ^= byte;
    if (node >= units_.size()) return std::nullopt;
    const uint32_t unit = units_[node];
    if (label(unit) != byte) return std::nullopt;
    node ^= offset(unit);
    if ((unit & kHasLeaf) == 0) continue;
    if (node >= units_.size()) return std::nullopt;
    const uint32_t begin = units_[node] & 0x7FFFFFFF;
    if (begin >= replacements_.size()) return std::nullopt;
    const std::string_view rest = std::string_view(replacements_).substr(begin);
    return rest.substr(0, std::min(rest.find('\0'), kReplacementBytesMax));
  }
  return std::nullopt;
}

std::string Charsmap::normalize(std::string_view text) const {
  constexpr size_t kWholeGraphemeBytes = 6;
  if (units_.empty()) return std::string(text);
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::string_view grapheme = text.substr(0, first_grapheme_bytes(text));
    text.remove_prefix(grapheme.size());
    if (grapheme.size() < kWholeGraphemeBytes) {
      if (const auto whole = replacement(grapheme)) {
        out += *whole;
        continue;
      }
    }
    while (!grapheme.empty()) {
      const std::string_view one = grapheme.substr(0, decode_utf8(grapheme).n_bytes);
      out += replacement(one).value_or(one);
      grapheme.remove_prefix(one.size());
    }
  }
  return out;
}

}  // namespace maru::text
