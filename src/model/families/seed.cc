// model/families/seed.cc - Seed-OSS: the llama layer with rope over halves and biases on q, k and
// v. Source: ByteDance Seed 2025, Seed-OSS model card.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> seed_oss_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  spec.norm_names.ffn_in = "post_attention_norm";
  return spec;
}

}  // namespace maru::model
