// model/families/gemma.cc - Gemma 2 and 3 (text): norms before and after both halves of a layer,
// soft caps and every other layer with a window (2), or norms on q and k and five layers with a
// window and a rope of their own to one without (3).
//
// The file's norm weights already contain the "1 +" of the original.
// Source: Gemma Team 2024 (arXiv:2408.00118) and 2025 (arXiv:2503.19786), section 2 of each.
#include <cmath>

#include "model/families.h"

namespace maru::model {
namespace {

constexpr size_t kWindowPeriod = 6;  // of Gemma 3: the last of six layers sees everything
// Only these sizes divide scores by another head size than their own.
constexpr size_t kLayersOf27bGemma2 = 46;
constexpr size_t kLayersOf27bGemma3 = 62;

Result<DecoderSpec> gemma_spec(const Config& config, size_t n_layer_27b) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  spec.norm_names.attn_out = "post_attention_norm";
  spec.norm_names.ffn_out = "post_ffw_norm";
  spec.ffn = FfnKind::kGeluGated;
  if (spec.n_layer() == n_layer_27b) {
    const auto d_query = static_cast<float>(spec.d_model / spec.n_head);
    spec.attention_scale = 1.0f / std::sqrt(d_query);
  }
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.d_model));
  MARU_TRY(attention_softcap, config.number_or("attn_logit_softcapping", 0.0f));
  MARU_TRY(logit_softcap, config.number_or("final_logit_softcapping", 0.0f));
  spec.attention_softcap = attention_softcap;
  spec.logit_softcap = logit_softcap;
  return spec;
}

}  // namespace

Result<DecoderSpec> gemma2_spec(const Config& config) {
  MARU_TRY(spec, gemma_spec(config, kLayersOf27bGemma2));
  MARU_TRY(window, config.count("attention.sliding_window"));
  set_window_pattern(spec, window, /*period=*/2);
  return spec;
}

Result<DecoderSpec> gemma3_spec(const Config& config) {
  MARU_TRY(spec, gemma_spec(config, kLayersOf27bGemma3));
  MARU_TRY(window, config.count("attention.sliding_window"));
  MARU_TRY(base, config.number_or("rope.freq_base_swa", 10000.0f));
  if (!(base > 1.0f)) return Error::corrupt("rope.freq_base_swa must be above 1");
  spec.qk_norm = QkNorm::kPerHead;
  set_window_pattern(spec, window, kWindowPeriod);
  spec.ropes.push_back(plain_rope(spec.ropes[0].n_rot(), base, false));
  for (LayerSpec& layer : spec.layers) layer.rope = layer.window == 0 ? 0 : 1;
  return spec;
}

}  // namespace maru::model
