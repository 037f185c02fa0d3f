// model/families/hunyuan.cc - Hunyuan dense: the llama layer with norms on the heads of q and k
// after rope. Source: Tencent 2025, Hunyuan 7B model card.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> hunyuan_dense_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  spec.qk_norm = QkNorm::kPerHeadAfterRope;
  return spec;
}

}  // namespace maru::model
