#include "text/jinja/str.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/utf8.h"

namespace maru::text::jinja {

Buf Buf::borrow(std::string_view text, Origin origin) {
  Buf buf;
  buf.borrowed_ = text.data() != nullptr ? text : std::string_view("");
  buf.growable_ = false;
  buf.origin_ = origin;
  return buf;
}

Buf Buf::frozen(std::string text, Origin origin) {
  Buf buf;
  buf.owned_ = std::move(text);
  buf.growable_ = false;
  buf.origin_ = origin;
  return buf;
}

void Buf::append(std::string_view text, Origin origin) {
  CHECK(growable_);
  if (text.empty()) return;
  if (owned_.empty()) origin_ = origin;
  if (runs_.empty() && origin != origin_) {
    runs_.push_back({static_cast<uint32_t>(owned_.size()), origin_});
  }
  owned_.append(text);
  if (runs_.empty()) return;
  const auto end = static_cast<uint32_t>(owned_.size());
  if (runs_.back().origin == origin) {
    runs_.back().end = end;
  } else {
    runs_.push_back({end, origin});
  }
}

size_t Buf::run_at(uint32_t offset) const {
  const auto it = std::upper_bound(runs_.begin(), runs_.end(), offset,
                                   [](uint32_t at, const Run& run) { return at < run.end; });
  return static_cast<size_t>(it - runs_.begin());
}

namespace {

constexpr size_t kBlock = 8;

// Whether kBlock bytes at `text` are all ASCII.
bool is_ascii_block(const char* text) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, text, kBlock);
  return (bytes & 0x8080808080808080) == 0;
}

}  // namespace

bool is_ascii(std::string_view text) {
  size_t i = 0;
  while (i + kBlock <= text.size() && is_ascii_block(text.data() + i)) i += kBlock;
  return std::all_of(text.begin() + static_cast<ptrdiff_t>(i), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

size_t count_chars(std::string_view text) {
  size_t n = 0;
  for (size_t i = 0; i < text.size();) {
    const bool is_block = i + kBlock <= text.size() && is_ascii_block(text.data() + i);
    i += is_block ? kBlock : decode_utf8(text.substr(i)).n_bytes;
    n += is_block ? kBlock : 1;
  }
  return n;
}

size_t char_offset(std::string_view text, size_t index) {
  size_t i = 0;
  while (index > 0 && i < text.size()) {
    const bool is_block =
        index >= kBlock && i + kBlock <= text.size() && is_ascii_block(text.data() + i);
    i += is_block ? kBlock : decode_utf8(text.substr(i)).n_bytes;
    index -= is_block ? kBlock : 1;
  }
  return i;
}

bool is_space(char32_t c) {
  if (c <= 0x20) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t leading_space(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Char c = decode_utf8(text.substr(i));
    if (!is_space(c.code)) break;
    i += c.n_bytes;
  }
  return i;
}

size_t trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80)
      --begin;
    const Utf8Char c = decode_utf8(text.substr(begin, end - begin));
    if (!is_space(c.code) || c.n_bytes != end - begin) break;
    end = begin;
  }
  return text.size() - end;
}

}  // namespace maru::text::jinja
