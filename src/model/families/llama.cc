// model/families/llama.cc - Llama 1 to 3, Mistral, Mixtral, SmolLM2 and what shares their layer.
//
// Source: Touvron et al. 2023 (arXiv:2302.13971); Jiang et al. 2024 (arXiv:2401.04088) for experts.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> llama_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/true));
  MARU_TRY(moe, moe_spec(config));
  spec.moe = moe;
  spec.moe.normalize = true;
  for (LayerSpec& layer : spec.layers) layer.experts = moe.n_expert > 0;
  return spec;
}

}  // namespace maru::model
