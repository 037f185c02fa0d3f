// importer/arrange.h - the ways in which GGUF's tensors differ from the source's: what the rules of
// the families name.
//
// Each gets a tensor that is a plain copy so far. Where a shape does not allow it, the draft fails.
// Threads: none.
#pragma once
#include <cstdint>
#include <vector>

#include "importer/draft.h"

namespace maru::importer {

// A norm's weight: plus one where the family multiplies by that.
void norm(Draft& draft, NewTensor& tensor);
// Rows of q and k, whose halves turn in the source and whose neighbours turn in GGUF, where the
// family says so.
void rope_q(Draft& draft, NewTensor& tensor);
void rope_k(Draft& draft, NewTensor& tensor);
// One half of the rows of each matrix, of two in one tensor.
void first_half(Draft& draft, NewTensor& tensor);
void second_half(Draft& draft, NewTensor& tensor);
// Dimensions of 1 vanish: [C, 1, K] becomes [C, K].
void squeeze(Draft& draft, NewTensor& tensor);
// [n] becomes [n, 1].
void one_each(Draft& draft, NewTensor& tensor);
// The decay of a state space from its logarithm.
void minus_exp(Draft& draft, NewTensor& tensor);

// Row i of each matrix comes from row order[i]; of a vector, value i. Errors (in the draft): a row
// that the source does not have.
void take_rows(Draft& draft, NewTensor& tensor, const std::vector<uint32_t>& order);
// [begin, end).
std::vector<uint32_t> row_range(uint64_t begin, uint64_t end, uint64_t step = 1);
// The number of rows of each matrix of the source, or of values of a vector.
uint64_t matrix_rows(const NewTensor& tensor);

struct Heads {
  uint64_t n_head = 1;
  uint64_t n_head_kv = 1;
  uint64_t d_head = 1;
};
// As config.json says; all 1 after an error.
Heads heads(Draft& draft);

}  // namespace maru::importer
