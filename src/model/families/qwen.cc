// model/families/qwen.cc - Qwen 2, 2.5 and 3: the llama layer with rope over halves; biases on q, k
// and v (2), or norms on the heads of q and k (3); and both with experts.
//
// Source: Yang et al. 2024 (arXiv:2407.10671), section 2; Yang et al. 2025 (arXiv:2505.09388).
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> qwen2_spec(const Config& config) {
  return common_spec(config, /*rope_interleaved=*/false);
}

Result<DecoderSpec> qwen3_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  spec.qk_norm = QkNorm::kPerHead;
  return spec;
}

Result<DecoderSpec> qwen2_moe_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(moe, moe_spec(config));
  spec.moe = moe;
  for (LayerSpec& layer : spec.layers) layer.experts = moe.n_expert > 0;
  return spec;
}

Result<DecoderSpec> qwen3_moe_spec(const Config& config) {
  MARU_TRY(spec, qwen2_moe_spec(config));
  spec.qk_norm = QkNorm::kPerHead;
  spec.moe.normalize = true;
  return spec;
}

}  // namespace maru::model
