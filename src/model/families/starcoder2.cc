// model/families/starcoder2.cc - StarCoder 2: layer norm and biases everywhere, a feed-forward of
// GELU without gate. Source: Lozhkov et al. 2024 (arXiv:2402.19173), section 5.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> starcoder2_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(window, config.count_or("attention.sliding_window", 0));
  for (LayerSpec& layer : spec.layers) layer.window = window;
  spec.ffn = FfnKind::kGelu;
  return spec;
}

}  // namespace maru::model
