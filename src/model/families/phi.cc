// model/families/phi.cc - Phi 3 and 4 (mini, medium): the llama layer with q, k, v in one tensor
// and gate, up in another.
//
// Long-context files have two sets of rope factors. Which one holds is decided when the model is
// loaded, never per sequence: the short ones, and then the context is the one they were made for,
// unless a longer context is asked for. Source: Abdin et al. 2024 (arXiv:2404.14219); Ding et al.
// 2024 (arXiv:2402.13753).
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> phi3_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(window, config.count_or("attention.sliding_window", 0));
  for (LayerSpec& layer : spec.layers) layer.window = window;
  if (config.file().find_tensor("rope_factors_short.weight") == nullptr) return spec;
  MARU_TRY(n_ctx_short, config.count("rope.scaling.original_context_length"));
  MARU_TRY(magnitude, config.number_or("rope.scaling.attn_factor", 1.0f));
  const bool is_long = config.n_ctx() > n_ctx_short;
  const char* tensor = is_long ? "rope_factors_long.weight" : "rope_factors_short.weight";
  Rope& rope = spec.ropes[0];
  MARU_TRY(factors, config.vector(tensor, rope.inv_freq.size()));
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0.0f)) return Error::corrupt("rope factors must be above 0");
    rope.inv_freq[i] /= factors[i];
  }
  rope.magnitude *= magnitude;
  if (!is_long) spec.n_ctx_train = n_ctx_short;
  return spec;
}

}  // namespace maru::model
