// model/families/gemma.cc - Gemma 3 (text): norms before and after both halves of a layer, norms on
// q and k, five layers with a sliding window (and a rope of their own) to one without.
//
// The file's norm weights already contain the "1 +" of the original.
// Source: Gemma Team 2025 (arXiv:2503.19786), section 2.
#include <cmath>

#include "model/families.h"

namespace maru::model {
namespace {

constexpr size_t kWindowPeriod = 6;  // the last of six layers sees everything
constexpr size_t kLayersOf27b = 62;

}  // namespace

Result<DecoderSpec> gemma3_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(window, config.count("attention.sliding_window"));
  MARU_TRY(base, config.number_or("rope.freq_base_swa", 10000.0f));
  if (!(base > 1.0f)) return Error::corrupt("rope.freq_base_swa must be above 1");
  spec.norm_names.attn_out = "post_attention_norm";
  spec.norm_names.ffn_out = "post_ffw_norm";
  spec.qk_norm = QkNorm::kPerHead;
  spec.ffn = FfnKind::kGeluGated;
  if (spec.n_layer() == kLayersOf27b) {  // only this size divides by another head size
    const auto d_query = static_cast<float>(spec.d_model / spec.n_head);
    spec.attention_scale = 1.0f / std::sqrt(d_query);
  }
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.d_model));
  MARU_TRY(softcap, config.number_or("final_logit_softcapping", 0.0f));
  spec.logit_softcap = softcap;
  set_window_pattern(spec, window, kWindowPeriod);
  spec.ropes.push_back(plain_rope(spec.ropes[0].n_rot(), base, false));
  for (LayerSpec& layer : spec.layers) layer.rope = layer.window == 0 ? 0 : 1;
  return spec;
}

}  // namespace maru::model
