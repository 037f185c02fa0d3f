// model/families/smollm3.cc - SmolLM 3: the llama layer; every fourth layer has no rope.
// Source: Hugging Face 2025, SmolLM3; Yang et al. 2025 (arXiv:2501.18795) for the pattern.
#include "model/families.h"

namespace maru::model {
namespace {

constexpr size_t kNoRopePeriod = 4;

}  // namespace

Result<DecoderSpec> smollm3_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/true));
  for (size_t i = kNoRopePeriod - 1; i < spec.n_layer(); i += kNoRopePeriod) {
    spec.layers[i].rope = kNoRope;
  }
  return spec;
}

}  // namespace maru::model
