// model/families/olmo.cc - OLMo 2 and 3 (norms only after attention and feed-forward; q and k
// normed whole) and OLMoE (norms before; experts). OLMo 3 adds windows, whose layers have an
// unscaled rope. Source: OLMo Team 2025 (arXiv:2501.00656), section 2; Muennighoff et al. 2024
// (arXiv:2409.02060).
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> olmo2_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  spec.norm_names = {
      .attn_in = "", .attn_out = "post_attention_norm", .ffn_in = "", .ffn_out = "post_ffw_norm"};
  spec.qk_norm = QkNorm::kWhole;
  MARU_TRY(window, config.count_or("attention.sliding_window", 0));
  if (window == 0) return spec;
  MARU_TRY(has_window, config.flags("attention.sliding_window_pattern", spec.n_layer()));
  MARU_TRY(base, config.number_or("rope.freq_base_swa", 10000.0f));
  if (!(base > 1.0f)) return Error::corrupt("rope.freq_base_swa must be above 1");
  spec.ropes.push_back(plain_rope(spec.ropes[0].n_rot(), base, false));
  for (size_t i = 0; i < spec.n_layer(); ++i) {
    if (has_window[i]) spec.layers[i].window = window, spec.layers[i].rope = 1;
  }
  return spec;
}

Result<DecoderSpec> olmoe_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(moe, moe_spec(config));
  spec.qk_norm = QkNorm::kWhole;
  spec.moe = moe;
  for (LayerSpec& layer : spec.layers) layer.experts = moe.n_expert > 0;
  return spec;
}

}  // namespace maru::model
