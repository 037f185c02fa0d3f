// mutate.h - what every fuzz loop over bytes does to its input: flips, numbers that sizes break on,
// cuts, copies and removals.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/rng.h"

namespace maru::testing_support {

// A number near what sizes, counts and types break on, for an input of so many bytes.
inline uint64_t interesting_number(Rng& rng, size_t n_bytes) {
  const std::array<uint64_t, 14> kValues = {0,          1,          2,          7,          9,
                                            32,         255,        65'535,     0x7FFFFFFF, n_bytes,
                                            0xFFFFFFFF, 1ull << 61, 1ull << 63, ~0ull};
  const uint64_t value = kValues[rng.below(kValues.size())];
  return rng.below(3) == 0 ? value + rng.below(33) - 16 : value;
}

// Little endian, as many bytes as there are up to 8. Requires: at < bytes.size().
inline void overwrite_number(std::string& bytes, size_t at, uint64_t value, size_t n_bytes) {
  const size_t n = std::min(n_bytes, bytes.size() - at);
  for (size_t i = 0; i < n; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

// 1 to 4 changes, half of them within the first `n_head` bytes: that is where sizes are.
inline void mutate_bytes(std::string& bytes, Rng& rng, size_t n_head = 64) {
  for (uint64_t n = 1 + rng.below(4); n > 0 && !bytes.empty(); --n) {
    const size_t at = rng.below(rng.below(2) == 0 ? std::min(bytes.size(), n_head) : bytes.size());
    switch (rng.below(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(rng.next());
        break;
      case 2:
      case 3:
        overwrite_number(bytes, at, interesting_number(rng, bytes.size()),
                         rng.below(2) == 0 ? 4 : 8);
        break;
      case 4:
        bytes.resize(rng.below(bytes.size() + 1));
        break;
      case 5:
        bytes.insert(at, bytes.substr(rng.below(bytes.size()), rng.below(64)));
        break;
      default:
        bytes.erase(at, rng.below(16));
    }
  }
}

}  // namespace maru::testing_support
