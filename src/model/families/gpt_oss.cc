// model/families/gpt_oss.cc - gpt-oss: experts with biases and a clamped gate, attention sinks,
// every other layer with a window; YaRN without rounding its range of dimensions. Source: OpenAI
// 2025 (arXiv:2508.10925), section 2.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> gpt_oss_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(moe, moe_spec(config));
  MARU_TRY(window, config.count("attention.sliding_window"));
  MARU_TRY(rope, rope_from_config(config, spec.d_k, false, /*yarn_whole_dimensions=*/false));
  spec.ropes = {std::move(rope)};
  spec.norm_names.ffn_in = "post_attention_norm";
  spec.ffn = FfnKind::kClampedSilu;
  spec.moe = moe;
  spec.moe.gating = Gating::kSoftmaxOfBest;
  set_window_pattern(spec, window, /*period=*/2);
  for (LayerSpec& layer : spec.layers) layer.experts = true;
  return spec;
}

}  // namespace maru::model
