// model/pass.h - the rows of one forward pass, and the memory it works in.
//
// A batch is cut into passes of at most kPassRows tokens. Made by the decoder on the engine thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"

namespace maru::model {

// More rows share one reading of the weights, but want more memory for activations: 256 reads each
// weight once per 256 tokens, far below what the arithmetic costs.
inline constexpr size_t kPassRows = 256;

struct Row {
  TokenId token = 0;
  size_t position = 0;
  BlockId block = 0;  // that holds this position
  AdapterId adapter = 0;
};

// Consecutive rows of one sequence.
struct Run {
  size_t row_begin = 0;
  size_t n_rows = 0;
  size_t position = 0;  // of the first row
  StateId state = 0;
  std::span<const BlockId> blocks;
};

struct Pass {
  std::vector<Row> rows;
  std::vector<Run> runs;
  std::vector<size_t> logit_rows;    // rows whose logits are wanted, ascending
  std::vector<WantedLogits> wanted;  // of each of them
  bool has_adapters = false;         // any row

  void clear();
  // Takes up to what fits of slice.tokens[done..]; returns how many.
  size_t take(const Slice& slice, size_t done);
};

}  // namespace maru::model
