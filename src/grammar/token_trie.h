// grammar/token_trie.h - sets of tokens, and the tokens of a vocabulary as a tree of their bytes,
// laid out in the order of a walk, so that a subtree is a range.
//
// Threads: immutable once made.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace maru::grammar {

using TokenId = int32_t;

// One bit for each token.
class TokenMask {
 public:
  explicit TokenMask(size_t n_vocab = 0) : n_vocab_(n_vocab), words_((n_vocab + 63) / 64) {}
  bool has(TokenId id) const {
    return (words_[static_cast<size_t>(id) >> 6] >> (static_cast<size_t>(id) & 63)) & 1;
  }
  void add(TokenId id) {
    words_[static_cast<size_t>(id) >> 6] |= uint64_t{1} << (static_cast<size_t>(id) & 63);
  }
  void remove(TokenId id) {
    words_[static_cast<size_t>(id) >> 6] &= ~(uint64_t{1} << (static_cast<size_t>(id) & 63));
  }
  void clear() { words_.assign(words_.size(), 0); }
  void add_all(const TokenMask& other);
  size_t count() const;
  bool empty() const { return count() == 0; }
  // The token in it where there is just one, else -1.
  TokenId only() const;
  size_t n_vocab() const { return n_vocab_; }
  template <class Visit>
  void for_each(Visit visit) const {  // in order
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
        visit(static_cast<TokenId>(i * 64 + static_cast<size_t>(std::countr_zero(word))));
      }
    }
  }
  std::span<const uint64_t> words() const { return words_; }
  bool operator==(const TokenMask&) const = default;

 private:
  size_t n_vocab_;
  std::vector<uint64_t> words_;
};

class TokenTrie {
 public:
  struct Node {
    uint32_t end;           // one behind the last node of the subtree
    uint32_t tokens_begin;  // the tokens that are spelled so
    uint32_t tokens_end;
    uint16_t depth;  // bytes from the root, whose depth is 0
    uint8_t byte;    // the last of them
  };
  struct Token {
    TokenId id;
    // Of what is left of a token behind the end of a part: where that end was, in the vocabulary's
    // tree, and the characters before it.
    uint32_t end_node = 0;
    uint32_t n_chars = 0;
  };
  struct Entry {
    std::string_view bytes;
    Token token;
  };

  TokenTrie() : TokenTrie(std::vector<Entry>{}) {}
  // Requires: no bytes are longer than 65,535.
  explicit TokenTrie(std::vector<Entry> entries);

  // In walking order; [0] is the root.
  std::span<const Node> nodes() const { return nodes_; }
  std::span<const Token> tokens(uint32_t node) const {
    return std::span(tokens_).subspan(nodes_[node].tokens_begin,
                                      nodes_[node].tokens_end - nodes_[node].tokens_begin);
  }
  size_t depth_max() const { return depth_max_; }
  size_t n_bytes() const {
    return nodes_.capacity() * sizeof(Node) + tokens_.capacity() * sizeof(Token);
  }

 private:
  std::vector<Node> nodes_;
  std::vector<Token> tokens_;
  size_t depth_max_ = 0;
};

}  // namespace maru::grammar
