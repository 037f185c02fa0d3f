// model/encoder_weights.h - an encoder's weights as the kernels want them, read and repacked from a
// GGUF file. Loaded once, then read by Encoder from all threads of its pool.
#pragma once
#include <optional>
#include <vector>

#include "model/encoder_spec.h"
#include "model/rank_head.h"
#include "model/weights.h"

namespace maru::model {

struct EncoderLayer {
  Matrix q, k, v, out;
  NormWeights attn_norm;  // after the attention was added
  Ffn ffn;                // gate only where it is gated
  NormWeights ffn_norm;   // after the feed-forward was added
};

struct EncoderWeights {
  const gguf::File* file = nullptr;
  gguf::TensorView tokens;            // [n_vocab, d_model]; rows are read as tokens come
  gguf::TensorView positions;         // [n_ctx_train or more, d_model] where they are learned
  std::vector<float> types;           // [1 or 2, d_model]: added to the tokens of a text, or empty
  std::optional<RankHead> rank_head;  // where the model ranks
  NormWeights embedding_norm;
  std::vector<EncoderLayer> layers;
  Arena arena;  // behind every Matrix
  uint64_t n_params = 0;
};

// Errors: as load_weights().
Result<EncoderWeights> load_encoder_weights(const EncoderSpec& spec, const Config& config,
                                            const LoadOptions& options);

}  // namespace maru::model
