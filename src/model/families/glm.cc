// model/families/glm.cc - GLM 4: norms before and after both halves, rope over part of a head; and
// GLM 4.5 with experts chosen by sigmoid plus a bias, after some dense layers. Source: GLM Team
// 2025 (arXiv:2508.06471), section 2.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> glm4_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/true));
  spec.norm_names.attn_out = "post_attention_norm";
  spec.norm_names.ffn_out = "post_ffw_norm";
  return spec;
}

Result<DecoderSpec> glm4_moe_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(moe, moe_spec(config));
  MARU_TRY(n_dense, config.count_or("leading_dense_block_count", 0));
  MARU_TRY(n_predict, config.count_or("nextn_predict_layers", 0));
  if (n_predict >= spec.n_layer()) return Error::corrupt("nextn_predict_layers leaves no layers");
  spec.layers.resize(spec.n_layer() - n_predict);  // those only guess further tokens
  spec.norm_names.ffn_in = "post_attention_norm";
  const bool has_norms = config.file().find_tensor("blk.0.attn_q_norm.weight") != nullptr;
  spec.qk_norm = has_norms ? QkNorm::kPerHead : QkNorm::kNone;
  spec.moe = moe;
  for (size_t i = n_dense; i < spec.n_layer(); ++i) spec.layers[i].experts = moe.n_expert > 0;
  return spec;
}

}  // namespace maru::model
