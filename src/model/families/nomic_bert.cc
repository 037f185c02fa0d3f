// model/families/nomic_bert.cc - Nomic Embed 1 and 1.5: the BERT layer with rope over halves
// instead of learned positions, a gated feed-forward and few biases.
//
// Source: Nussbaum et al. 2024 (arXiv:2402.01613), section 4.
#include "model/encoder_spec.h"

namespace maru::model {

Result<EncoderSpec> nomic_bert_spec(const Config& config) {
  MARU_TRY(spec, common_encoder_spec(config));
  MARU_TRY(rope, rope_from_config(config, spec.d_head(), /*interleaved=*/false));
  spec.rope = std::move(rope);
  spec.ffn = EncoderFfn::kSiluGated;
  return spec;
}

}  // namespace maru::model
