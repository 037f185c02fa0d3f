// model/families/stablelm.cc - StableLM 2 (1.6B and 3B): layer norm with bias, rope over part of a
// head. Source: Bellagente et al. 2024 (arXiv:2402.17834), section 2.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> stablelm_spec(const Config& config) {
  MARU_TRY(parallel, config.flag_or("use_parallel_residual", false));
  if (parallel || config.file().find_tensor("blk.0.attn_q_norm.weight") != nullptr) {
    return Error::unsupported("stablelm with parallel residuals or norms on the heads (12B)");
  }
  return common_spec(config, /*rope_interleaved=*/false);
}

}  // namespace maru::model
