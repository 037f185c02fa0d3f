// model/families/lfm2.cc - LFM 2: short convolutions, and attention with norms on the heads of q
// and k in the layers that have KV heads; and with experts chosen by sigmoid plus a bias, after
// some dense layers. Source: Liquid AI 2025 (arXiv:2511.23404), section 2.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> lfm2_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(kernel, config.count("shortconv.l_cache"));
  spec.qk_norm = QkNorm::kPerHead;
  spec.norm_names.final = "token_embd_norm";  // for all its name, it is the last one
  spec.recurrent.kind = RecurrentKind::kShortConv;
  spec.recurrent.kernel = kernel;
  return spec;
}

Result<DecoderSpec> lfm2_moe_spec(const Config& config) {
  MARU_TRY(spec, lfm2_spec(config));
  MARU_TRY(moe, moe_spec(config));
  MARU_TRY(n_dense, config.count_or("leading_dense_block_count", 0));
  spec.moe = moe;
  spec.moe.normalize = true;
  for (size_t i = n_dense; i < spec.n_layer(); ++i) spec.layers[i].experts = moe.n_expert > 0;
  return spec;
}

}  // namespace maru::model
