// model/weights.h - a decoder's weights as the kernels want them, read and repacked from a GGUF
// file.
//
// Loaded once, then read by the decoder from all threads of its pool. It must not know tokens or
// caches.
#pragma once
#include <cstddef>
#include <optional>
#include <vector>

#include "base/result.h"
#include "gguf/file.h"
#include "kernels/kernel_table.h"
#include "model/arena.h"
#include "model/matrix.h"
#include "model/model.h"
#include "model/output_planes.h"
#include "model/spec.h"

namespace maru::model {

struct NormWeights {
  std::vector<float> weight;  // empty: there is no norm here
  std::vector<float> bias;    // or empty

  bool present() const { return !weight.empty(); }
};

struct Ffn {
  Matrix gate, up, down;  // [d_ff, d_model], [d_ff, d_model], [d_model, d_ff]
};

// Of a layer without attention; see RecurrentSpec. Its output projection is LayerWeights::out.
struct RecurrentWeights {
  Matrix in;                // inputs of the convolution; kShortConv: b, c, x [3 d_model, d_model]
  Matrix z;                 // [n_inner, d_model]: gates the output
  Matrix alpha, beta;       // [n_head, d_model]: gate what is kept, and what is added; all in
                            // alpha where spec.gates_by_key_head
  std::vector<float> conv;  // [kernel, n_conv], oldest tap first
  std::vector<float> conv_bias;  // [n_conv] or empty
  std::vector<float> decay;      // [n_head], negative
  std::vector<float> dt_bias;    // [n_head]
  std::vector<float> skip;       // [n_head] or empty: share of a value that goes past the state
  std::vector<float> norm;       // kStateSpace: [n_inner]; kDeltaNet: [d_v]
};

struct LayerWeights {
  NormWeights attn_in, attn_out, ffn_in, ffn_out;
  Matrix q, k, v, out;
  NormWeights q_norm, k_norm;  // for all heads, or head after head; see QkNorm
  std::vector<float> sinks;    // [n_head] or empty

  // Latent attention instead of k, v (and of q, where it has two steps: q_a, then q).
  Matrix q_a, kv_a;
  NormWeights q_a_norm, kv_a_norm;
  std::vector<Matrix> to_latent;    // [n_head]: [d_latent, d_nope]
  std::vector<Matrix> from_latent;  // [n_head]: [d_value, d_latent]

  RecurrentWeights recurrent;

  Ffn ffn;  // dense

  Matrix router;                      // [n_expert, d_model]
  std::vector<float> selection_bias;  // [n_expert] or empty: added for choosing, not for weighing
  std::vector<Ffn> experts;           // [n_expert], then the shared one where there is one
  std::vector<float> shared_gate;     // [d_model] or empty: sigmoid(w x) weighs the shared expert
};

struct DecoderWeights {
  const gguf::File* file = nullptr;
  gguf::TensorView embeddings;  // rows are read from the file as tokens come
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  Matrix output;                       // [n_vocab, d_model]
  std::optional<OutputPlanes> planes;  // where the output matrix is in planes
  Arena arena;                         // behind every Matrix
  uint64_t n_params = 0;
};

// Errors: kCorrupt names a missing tensor, or one of the wrong shape with what was expected and
// found; kUnsupported names a tensor type; kResourceExhausted.
Result<DecoderWeights> load_weights(const DecoderSpec& spec, const Config& config,
                                    const LoadOptions& options);

}  // namespace maru::model
