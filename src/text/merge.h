// text/merge.h - the merge loop of byte pair encoding: the best pair of neighbours becomes one
// symbol, until no pair is left.
//
// Shared by byte-level BPE and SentencePiece BPE, which differ in how a pair is looked up.
// Source: Sennrich et al. 2016 (arXiv:1508.07909), section 3.2; the queue of candidates makes it
// n log n for any text.
// Threads: none; a Merger belongs to one encode() call.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/function_ref.h"
#include "text/vocab.h"

namespace maru::text {

struct Symbol {
  uint32_t begin = 0;
  uint32_t n_bytes = 0;  // 0 once it was merged into its left neighbour
  TokenId id = -1;       // -1 where the vocabulary does not have it
  int32_t left = -1;     // index of the neighbour, -1 at the border
  int32_t right = -1;
};

struct Merge {
  uint32_t rank;  // lower is better; of equal ones the leftmost goes first
  TokenId id;     // of the merged symbol
};

class Merger {
 public:
  using FindMerge = FunctionRef<std::optional<Merge>(const Symbol& left, const Symbol& right)>;

  void clear() { symbols_.clear(); }
  // Appends a symbol right of the last one. Requires: fewer than 2^31 symbols.
  void push(uint32_t begin, uint32_t n_bytes, TokenId id);
  void run(FindMerge find);
  // After run(): those with n_bytes > 0 are the result, in order.
  const std::vector<Symbol>& symbols() const { return symbols_; }
  // Candidates looked at since the Merger was made: what tests count instead of time.
  size_t n_steps() const { return n_steps_; }

 private:
  struct Candidate {
    uint32_t rank;
    int32_t left;
    int32_t right;
    uint32_t n_bytes;  // of both together, when it was found: else it is out of date
    TokenId id;
  };
  // Order of a heap whose top is the best candidate.
  static bool is_worse(const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  }
  void look_at(int32_t left, int32_t right, FindMerge find);

  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  size_t n_steps_ = 0;
};

}  // namespace maru::text
