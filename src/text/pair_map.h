// text/pair_map.h - (left id, right id) -> merge, as one flat table: the look-up that byte-level
// BPE does most.
//
// Open addressing with linear probing. Threads: immutable once filled.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "text/merge.h"

namespace maru::text {

class PairMap {
 public:
  // Room for n_pairs.
  explicit PairMap(size_t n_pairs)
      : shift_(64 - std::bit_width(2 * n_pairs + 1)),
        slots_(size_t{1} << std::bit_width(2 * n_pairs + 1)) {}

  // The first merge of a pair stays. Requires: ids >= 0; at most n_pairs insertions.
  void insert(TokenId left, TokenId right, Merge merge) {
    const uint64_t key = key_of(left, right);
    size_t i = slot_of(key);
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
    if (slots_[i].key == kEmpty) slots_[i] = {key, merge};
  }

  // Requires: ids >= 0.
  std::optional<Merge> find(TokenId left, TokenId right) const {
    const uint64_t key = key_of(left, right);
    for (size_t i = slot_of(key); slots_[i].key != kEmpty; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].key == key) return slots_[i].merge;
    }
    return std::nullopt;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{};
  };
  static uint64_t key_of(TokenId left, TokenId right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
  // Fibonacci hashing: the top bits of the product depend on all bits of the key.
  size_t slot_of(uint64_t key) const { return (key * 0x9E3779B97F4A7C15u) >> shift_; }

  int shift_;
  std::vector<Slot> slots_;
};

}  // namespace maru::text
