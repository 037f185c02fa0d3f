// model/adapter.h - a LoRA adapter: what it adds to the products of a decoder's matrices, read from
// a GGUF file.
//
//   y = W x + scale * B (A x)
//
// Decoder owns it and adds its part to the rows of those who asked for it. A and B are packed as
// float32, and x is not quantized for them. Threads: immutable.
// Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1; the keys and names are those that
// llama.cpp's convert_lora_to_gguf.py writes.
#pragma once
#include <cstddef>
#include <map>
#include <memory>

#include "base/result.h"
#include "gguf/file.h"
#include "model/arena.h"
#include "model/weights.h"

namespace maru::model {

inline constexpr size_t kAdapterRankMax = 1024;

struct LowRank {
  Matrix a;  // [rank, n_cols of the matrix]
  Matrix b;  // [n_rows of the matrix, rank]
  float scale = 1.0f;

  size_t rank() const { return a.packed.n_rows; }
};

class Adapter {
 public:
  // Requires: the weights stay where they are.
  // Errors: kUnsupported for another kind of adapter, and for a tensor that cannot be adapted, with
  // those that can; kCorrupt for another architecture, a shape that does not fit the model
  // (expected and found) or a half without its other half; kResourceExhausted; kIo.
  static Result<std::unique_ptr<Adapter>> load(const gguf::File& file, const DecoderSpec& spec,
                                               const DecoderWeights& weights,
                                               const LoadOptions& options);

  // nullptr where it leaves the matrix as it is.
  const LowRank* find(const Matrix* matrix) const;
  size_t rank_max() const { return rank_max_; }
  // Of the matrices that it changes.
  size_t tile_rows_max() const { return tile_rows_max_; }

 private:
  std::map<const Matrix*, LowRank> parts_;
  Arena arena_;
  size_t rank_max_ = 0;
  size_t tile_rows_max_ = 0;
};

}  // namespace maru::model
