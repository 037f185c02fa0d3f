// grammar/masker.h - which tokens may come next.
//
// What a regular part allows does not depend on what lies below it, but for tokens that go beyond
// its end. So the tokens that stay within are found once for each state (a walk over the
// vocabulary's tree) and kept; what those that leave it have behind its end is kept as a small
// tree, walked with the real stack. A run of one class of characters is kept by how many characters
// each token has, so that a length limit needs no walk for each count. The inside of an
// unconstrained JSON string is found once for a vocabulary, and a string that may be all but some
// texts differs from it only where one of those ends.
//
// Threads: a Vocabulary is immutable; a Masker has one owner, that of its program.
// Source: the split into tokens that need the stack and those that don't is that of XGrammar, Dong
// et al. 2024 (arXiv:2411.15100), section 3.
#pragma once
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "grammar/matcher.h"
#include "grammar/token_trie.h"

namespace maru::grammar {

// Of what one Masker keeps. More is forgotten, the longest unused first.
inline constexpr size_t kMaskBytesMax = 16 << 20;

// The verdicts of one state over the whole vocabulary.
struct StateMask {
  struct Counted {
    uint32_t n_chars;
    TokenId token;
  };
  bool is_dense = false;
  TokenMask dense;               // tokens that end within: as bits
  std::vector<TokenId> sparse;   // or one by one
  std::vector<Counted> counted;  // of a run: the same, fewest characters first
  TokenTrie rests;               // of tokens that go beyond the end (or to it, in a JSON string)
  // Everything is as in a free string, but strings can't end at these nodes.
  bool is_nearly_free = false;
  std::vector<uint32_t> no_ends;
  size_t n_bytes() const;
};

class Vocabulary {
 public:
  // `tokens[id]` are the bytes of token id; those that are empty belong to no text.
  explicit Vocabulary(std::vector<std::string> tokens);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  size_t size() const { return tokens_.size(); }
  std::string_view bytes(TokenId id) const { return tokens_[static_cast<size_t>(id)]; }
  const TokenTrie& trie() const { return trie_; }
  // Of a run of any characters within a JSON string.
  const StateMask& free_string() const { return free_string_; }

 private:
  std::vector<std::string> tokens_;
  TokenTrie trie_;
  StateMask free_string_;
};

class Masker {
 public:
  // Requires: both outlive this.
  Masker(Program& program, const Vocabulary& vocabulary);

  // Fills in the tokens that the text may go on with. False where a limit was met.
  // Requires: the matcher is of this program; the mask has the vocabulary's size.
  bool fill(Matcher& matcher, TokenMask& mask);
  size_t n_bytes() const { return n_kept_bytes_; }

 private:
  enum class Within : uint8_t { kText, kString };
  struct Kept {
    uint64_t key;
    StateMask state;
    size_t n_bytes;
  };
  // Which of a tree's tokens count.
  struct Filter {
    uint32_t n_chars_min = 0;
    uint32_t n_chars_max = UINT32_MAX;
    std::span<const uint32_t> no_ends = {};
  };
  // One walk of a tree from one place on.
  struct Walk {
    Matcher& matcher;
    const TokenTrie& trie;
    const Filter filter;
    TokenMask& mask;
  };
  // Pairs of a node and a top that a walk has been at.
  class Visited {
   public:
    void clear();
    bool add(uint64_t key);  // false where it was there

   private:
    std::vector<uint64_t> slots_ = std::vector<uint64_t>(1024);
    std::vector<uint64_t> keys_;
  };

  const StateMask& state_mask(Within within, TermId term, bool is_run);
  StateMask make_state_mask(Within within, TermId term, bool is_run);
  void add_state(Matcher& matcher, uint32_t top, TokenMask& mask);
  void add_run(const StateMask& state, const Terms::Loop& run, TokenMask& mask);
  void leave(Matcher& matcher, uint32_t top, const TokenTrie& rests, const Filter& filter,
             TokenMask& mask);
  void add_tokens(const Walk& walk, uint32_t node) const;
  void go(const Walk& walk, uint32_t node, uint32_t top);
  void go_within(const Walk& walk, uint32_t node, uint32_t top);

  Program& program_;
  const Vocabulary& vocabulary_;
  std::list<Kept> kept_;  // the last used first
  std::unordered_map<uint64_t, std::list<Kept>::iterator> places_;
  size_t n_kept_bytes_ = 0;
  Visited visited_;
  TokenMask scratch_;
};

}  // namespace maru::grammar
