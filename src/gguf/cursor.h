// gguf/cursor.h - a bounded reader over the bytes of a GGUF file: no read ever passes the end.
//
// Used by gguf/metadata.cc and gguf/file.cc while a file is opened; knows little-endian numbers and
// length-prefixed strings, nothing else of the format.
// Threads: none; a Cursor is a local variable.
#pragma once
#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/utf8.h"

namespace maru::gguf {

static_assert(std::endian::native == std::endian::little, "a big-endian machine needs byte swaps");

// Reads a number at any address. Requires: bytes.size() >= sizeof(T).
template <class T>
T load_number(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// A name from the file as an error message may carry it: short, UTF-8, no control characters.
inline std::string shown(std::string_view name) {
  constexpr size_t kShownBytesMax = 80;
  std::string text = replace_invalid_utf8(name.substr(0, kShownBytesMax));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return name.size() > kShownBytesMax ? text + "..." : text;
}

class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t offset() const { return offset_; }
  size_t n_left() const { return bytes_.size() - offset_; }

  // `what` names the thing in the error: "the version", "metadata value 'general.name'".
  // Errors: kCorrupt where fewer bytes are left.
  Result<std::span<const std::byte>> take(uint64_t n_bytes, std::string_view what) {
    if (n_bytes > n_left()) {
      return Error::corrupt(fmt::format(
          "the GGUF file is truncated: {} needs {} bytes at offset {}, the file has {} bytes", what,
          n_bytes, offset_, bytes_.size()));
    }
    const auto taken = bytes_.subspan(offset_, n_bytes);
    offset_ += n_bytes;
    return taken;
  }

  template <class T>
  Result<T> number(std::string_view what) {
    MARU_TRY(bytes, take(sizeof(T), what));
    return load_number<T>(bytes);
  }

  // Errors: kCorrupt where the length is above n_bytes_max or passes the end.
  Result<std::string_view> string(size_t n_bytes_max, std::string_view what) {
    MARU_TRY(n_bytes, number<uint64_t>(what));
    if (n_bytes > n_bytes_max && n_bytes <= n_left()) {
      return Error::corrupt(fmt::format("{} at offset {} has {} bytes, more than the limit of {}",
                                        what, offset_, n_bytes, n_bytes_max));
    }
    MARU_TRY(bytes, take(n_bytes, what));
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

 private:
  std::span<const std::byte> bytes_;
  size_t offset_ = 0;
};

}  // namespace maru::gguf
