// model/families/stablelm.cc - StableLM 2: layer norm with bias, rope over part of a head. The 12B
// reads one norm for attention and feed-forward, side by side, and norms each head of q and k with
// a weight of its own. Source: Bellagente et al. 2024 (arXiv:2402.17834), section 2; Stability AI
// 2024, Stable LM 2 12B model card.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> stablelm_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(parallel, config.flag_or("use_parallel_residual", false));
  // Some files do not say it, but have no second norm.
  if (parallel || config.file().find_tensor("blk.0.ffn_norm.weight") == nullptr) {
    spec.parallel_residual = true;
    spec.norm_names.ffn_in.clear();
  }
  const bool has_norms = config.file().find_tensor("blk.0.attn_q_norm.weight") != nullptr;
  spec.qk_norm = has_norms ? QkNorm::kPerHead : QkNorm::kNone;
  return spec;
}

}  // namespace maru::model
