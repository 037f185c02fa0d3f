// model/families/cohere.cc - Command R7B (cohere2): layer norm without bias, attention and
// feed-forward side by side on the same norm; three layers with a window and rope to one that sees
// all without rope. Source: Cohere 2025 (arXiv:2504.00698), section 2.
#include "model/families.h"

namespace maru::model {
namespace {

constexpr size_t kWindowPeriod = 4;

}  // namespace

Result<DecoderSpec> cohere2_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/true));
  MARU_TRY(window, config.count("attention.sliding_window"));
  MARU_TRY(logit_scale, config.number("logit_scale"));
  spec.parallel_residual = true;
  spec.norm_names.ffn_in.clear();
  spec.logit_scale = logit_scale;
  set_window_pattern(spec, window, kWindowPeriod);
  for (LayerSpec& layer : spec.layers) layer.rope = layer.window == 0 ? kNoRope : 0;
  return spec;
}

}  // namespace maru::model
