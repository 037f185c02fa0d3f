// model/families/arcee.cc - Arcee (AFM): the llama layer with a feed-forward of squared ReLU and no
// gate. Source: So et al. 2021 (arXiv:2109.08668) for the activation.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> arcee_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/true));
  spec.ffn = FfnKind::kReluSquared;
  return spec;
}

}  // namespace maru::model
