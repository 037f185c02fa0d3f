// model/families/nemotron.cc - Nemotron and Minitron: layer norm with bias (the file's weights
// contain the "1 +" of the original), squared ReLU without gate, rope over part of a head. Source:
// Parmar et al. 2024 (arXiv:2402.16819), section 2.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> nemotron_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  spec.ffn = FfnKind::kReluSquared;
  return spec;
}

}  // namespace maru::model
