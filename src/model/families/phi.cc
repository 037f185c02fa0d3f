// model/families/phi.cc - Phi 3 and 4 (mini, medium): the llama layer with q, k, v in one tensor
// and gate, up in another. Long-context files have two sets of rope factors; Maru uses the short
// ones, and says that the model was made for the context where they hold. Source: Abdin et al. 2024
// (arXiv:2404.14219); Ding et al. 2024 (arXiv:2402.13753).
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> phi3_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(window, config.count_or("attention.sliding_window", 0));
  for (LayerSpec& layer : spec.layers) layer.window = window;
  Rope& rope = spec.ropes[0];
  MARU_TRY(factors, config.optional_vector("rope_factors_short.weight", rope.inv_freq.size()));
  if (factors.empty()) return spec;
  MARU_TRY(n_ctx, config.count("rope.scaling.original_context_length"));
  MARU_TRY(magnitude, config.number_or("rope.scaling.attn_factor", 1.0f));
  for (size_t i = 0; i < factors.size(); ++i) rope.inv_freq[i] /= factors[i];
  rope.magnitude *= magnitude;
  spec.n_ctx_train = n_ctx;
  return spec;
}

}  // namespace maru::model
