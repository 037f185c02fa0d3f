// text/byte_trie.h - finds the keys that begin at a place of a text, byte by byte.
//
// Used for control tokens, WordPiece and Unigram pieces. Of equal keys the
// smallest value stays.
// Threads: immutable once made.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace maru::text {

class ByteTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = 0;  // no child: the root is nobody's child

  ByteTrie() : ByteTrie(std::vector<std::pair<std::string_view, int32_t>>{}) {}
  // Requires: values >= 0. Empty keys are left out.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> keys);

  // kNone where no key goes on with this byte.
  uint32_t child(uint32_t node, char byte) const;
  // The value of the key that ends at this node, or -1.
  int32_t value(uint32_t node) const { return nodes_[node].value; }

 private:
  struct Node {
    uint32_t first_child = 0;  // children are consecutive, ordered by byte
    uint16_t n_children = 0;
    uint8_t byte = 0;
    int32_t value = -1;
  };
  std::vector<Node> nodes_;
};

}  // namespace maru::text
