// model/rank_head.h - how well a document answers a query: one number from the vector of the first
// token of the pair, as cross-encoders are trained to give it.
//
//   score = out * tanh(dense * x + dense_bias) + out_bias; without dense: out * x + out_bias
//
// load_encoder.cc reads it from a file, engine/ calls it. Sums run in order, in double.
// Threads: immutable after loading; any.
#pragma once
#include <span>
#include <vector>

#include "gguf/file.h"

namespace maru::model {

class RankHead {
 public:
  // The tensors cls and cls.output. Errors: kCorrupt, kUnsupported; where there is no cls.output of
  // one row, the model classifies and does not rank.
  static Result<RankHead> load(const gguf::File& file, size_t d_model);

  // Shapes: x [d_model].
  float score(std::span<const float> x) const;

 private:
  struct Linear {
    std::vector<float> weight;  // [n_rows, d_model]
    std::vector<float> bias;    // [n_rows]
  };

  static Result<Linear> read_linear(const gguf::File& file, const char* name, size_t n_rows,
                                    size_t d_model);
  static double row_product(const Linear& linear, size_t row, std::span<const float> x);

  Linear dense_;  // empty: none
  Linear out_;
};

}  // namespace maru::model
