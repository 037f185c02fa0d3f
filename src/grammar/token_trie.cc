#include "grammar/token_trie.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace maru::grammar {

void TokenMask::add_all(const TokenMask& other) {
  for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
}

size_t TokenMask::count() const {
  size_t n = 0;
  for (const uint64_t word : words_) n += static_cast<size_t>(std::popcount(word));
  return n;
}

TokenId TokenMask::only() const {
  TokenId id = -1;
  for (size_t i = 0; i < words_.size(); ++i) {
    if (words_[i] == 0) continue;
    if (id >= 0 || !std::has_single_bit(words_[i])) return -1;
    id = static_cast<TokenId>(i * 64 + static_cast<size_t>(std::countr_zero(words_[i])));
  }
  return id;
}

TokenTrie::TokenTrie(std::vector<Entry> entries) {
  std::ranges::sort(entries, [](const Entry& a, const Entry& b) {
    const int order = a.bytes.compare(b.bytes);
    return order != 0 ? order < 0 : a.token.id < b.token.id;
  });
  nodes_.push_back({.end = 0, .tokens_begin = 0, .tokens_end = 0, .depth = 0, .byte = 0});
  std::vector<uint32_t> path{0};  // from the root to the last node
  std::string_view before;
  for (const Entry& entry : entries) {
    const std::string_view bytes = entry.bytes;
    CHECK(bytes.size() <= UINT16_MAX);
    const auto differ = std::ranges::mismatch(bytes, before);
    const auto n_shared = static_cast<size_t>(differ.in1 - bytes.begin());
    while (path.size() > n_shared + 1) {
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
      path.pop_back();
    }
    for (size_t i = n_shared; i < bytes.size(); ++i) {
      const auto n_tokens = static_cast<uint32_t>(tokens_.size());
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({.end = 0,
                        .tokens_begin = n_tokens,
                        .tokens_end = n_tokens,
                        .depth = static_cast<uint16_t>(i + 1),
                        .byte = static_cast<uint8_t>(bytes[i])});
    }
    tokens_.push_back(entry.token);
    nodes_[path.back()].tokens_end = static_cast<uint32_t>(tokens_.size());
    depth_max_ = std::max(depth_max_, bytes.size());
    before = bytes;
  }
  for (const uint32_t node : path) nodes_[node].end = static_cast<uint32_t>(nodes_.size());
  nodes_.shrink_to_fit();
  tokens_.shrink_to_fit();
}

}  // namespace maru::grammar
