// text/piece_table.h - piece -> id as one flat table: most of the time that a tokenizer takes to be
// made went into a map with a node for each piece.
//
// Used by the two BPE tokenizers. Open addressing with linear probing; a slot keeps a part of the
// hash, so that nearly every look-up reads one slot and one piece. Neither is in the cache while a
// tokenizer is made: the calls for many pieces at once fetch them ahead.
// Threads: immutable once filled.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace maru::text {

class PieceTable {
 public:
  // Of pieces.size() pieces at most; borrows them.
  explicit PieceTable(const std::vector<std::string>& pieces)
      : pieces_(pieces), slots_(std::bit_ceil(2 * pieces.size() + 2)) {}

  // The first id of equal pieces stays. Requires: 0 <= id < pieces.size(), each at most once.
  void insert(TokenId id) { insert(id, hash_of(pieces_[static_cast<size_t>(id)])); }

  // insert() for each id that `wanted(id)` names, in order.
  template <class Wanted>
  void insert_all(const Wanted& wanted) {
    std::array<uint64_t, kAhead> hashes;
    for (size_t i = 0; i < pieces_.size() + kAhead; ++i) {
      uint64_t& hash = hashes[i % kAhead];
      if (i >= kAhead && wanted(i - kAhead)) insert(static_cast<TokenId>(i - kAhead), hash);
      if (i >= pieces_.size() || !wanted(i)) continue;
      hash = hash_of(pieces_[i]);
      __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
    }
  }

  // find() for n pieces: found(i, find(piece(i))), in order.
  template <class Piece, class Found>
  void find_all(size_t n, const Piece& piece, const Found& found) const {
    std::array<uint64_t, kAhead> hashes;
    for (size_t i = 0; i < n + kAhead; ++i) {
      uint64_t& hash = hashes[i % kAhead];
      if (i >= kAhead) {
        const size_t at = i - kAhead;
        found(at, slots_[place_of(piece(at), hash)].id);
      }
      if (i >= kAhead / 2 && i - kAhead / 2 < n) {
        const Slot& slot = slots_[hashes[(i - kAhead / 2) % kAhead] & (slots_.size() - 1)];
        if (slot.id >= 0) __builtin_prefetch(&pieces_[static_cast<size_t>(slot.id)]);
      }
      if (i >= n) continue;
      hash = hash_of(piece(i));
      __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
    }
  }

  // -1 where there is no such piece.
  TokenId find(std::string_view piece) const { return slots_[place_of(piece, hash_of(piece))].id; }

  // Two ids were inserted for one piece.
  bool has_twins() const { return has_twins_; }

 private:
  static constexpr size_t kAhead = 16;
  struct Slot {
    uint32_t tag = 0;
    TokenId id = -1;
  };
  void insert(TokenId id, uint64_t hash) {
    Slot& slot = slots_[place_of(pieces_[static_cast<size_t>(id)], hash)];
    if (slot.id >= 0) {
      has_twins_ = true;
    } else {
      slot = {tag_of(hash), id};
    }
  }
  static uint64_t hash_of(std::string_view piece) { return std::hash<std::string_view>()(piece); }
  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

  // The slot of the piece, or the empty one where it would be.
  size_t place_of(std::string_view piece, uint64_t hash) const {
    const size_t mask = slots_.size() - 1;
    size_t i = hash & mask;
    while (slots_[i].id >= 0 &&
           (slots_[i].tag != tag_of(hash) || pieces_[static_cast<size_t>(slots_[i].id)] != piece)) {
      i = (i + 1) & mask;
    }
    return i;
  }

  const std::vector<std::string>& pieces_;
  std::vector<Slot> slots_;
  bool has_twins_ = false;
};

}  // namespace maru::text
