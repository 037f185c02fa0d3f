// model/families/exaone.cc - EXAONE 4: norms only after attention and feed-forward, and on the
// heads of q and k. The large model has windows: three layers with a window and rope, one that sees
// all without rope. Source: LG AI Research 2025 (arXiv:2507.11407), section 2.
#include "model/families.h"

namespace maru::model {
namespace {

constexpr size_t kWindowPeriod = 4;

}  // namespace

Result<DecoderSpec> exaone4_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(window, config.count_or("attention.sliding_window", 0));
  spec.norm_names = {
      .attn_in = "", .attn_out = "post_attention_norm", .ffn_in = "", .ffn_out = "post_ffw_norm"};
  spec.qk_norm = QkNorm::kPerHead;
  if (window == 0) return spec;
  set_window_pattern(spec, window, kWindowPeriod);
  for (LayerSpec& layer : spec.layers) layer.rope = layer.window == 0 ? kNoRope : 0;
  return spec;
}

}  // namespace maru::model
