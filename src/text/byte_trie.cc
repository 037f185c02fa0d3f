#include "text/byte_trie.h"

#include <algorithm>

namespace maru::text {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> keys) {
  std::ranges::sort(keys);
  // Breadth first: a node stands for the keys [begin, end), which share their first `depth` bytes.
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{0, keys.size(), 0}};
  nodes_.emplace_back();
  for (size_t node = 0; node < ranges.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    while (begin < end && keys[begin].first.size() == depth) {
      if (depth > 0 && nodes_[node].value < 0) nodes_[node].value = keys[begin].second;
      ++begin;
    }
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = keys[begin].first[depth];
      size_t next = begin + 1;
      while (next < end && keys[next].first[depth] == byte) ++next;
      nodes_.emplace_back().byte = static_cast<uint8_t>(byte);
      ranges.push_back({begin, next, depth + 1});
      ++nodes_[node].n_children;
      begin = next;
    }
  }
}

uint32_t ByteTrie::child(uint32_t node, char byte) const {
  const Node& parent = nodes_[node];
  const auto wanted = static_cast<uint8_t>(byte);
  const auto begin = nodes_.begin() + parent.first_child;
  const auto end = begin + parent.n_children;
  if (parent.n_children == 256) return parent.first_child + wanted;
  const auto at =
      std::lower_bound(begin, end, wanted, [](const Node& n, uint8_t b) { return n.byte < b; });
  if (at == end || at->byte != wanted) return kNone;
  return static_cast<uint32_t>(at - nodes_.begin());
}

}  // namespace maru::text
