// model/families/ernie.cc - ERNIE 4.5, dense and with experts (chosen by softmax plus a bias,
// weighed without it). Source: Baidu 2025, ERNIE 4.5 technical report, section 2.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> ernie_spec(const Config& config) {
  return common_spec(config, /*rope_interleaved=*/true);
}

Result<DecoderSpec> ernie_moe_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/true));
  MARU_TRY(moe, moe_spec(config));
  MARU_TRY(n_dense, config.count_or("leading_dense_block_count", 0));
  MARU_TRY(step, config.count_or("interleave_moe_layer_step", 1));
  spec.moe = moe;
  spec.moe.normalize = true;
  for (size_t i = n_dense; i < spec.n_layer(); ++i) {
    spec.layers[i].experts = step > 0 && (i + 1) % step == 0;
  }
  return spec;
}

}  // namespace maru::model
