// base/hex.h - hexadecimal digits. Threads: a free function.
#pragma once

namespace maru {

// 0 to 15, or -1 where c is no hexadecimal digit of either case.
constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace maru
