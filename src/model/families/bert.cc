// model/families/bert.cc - BERT and its kin with the same layer: MiniLM, E5, BGE, and XLM-RoBERTa,
// whose files call themselves bert too (their positions begin at 0: the two rows that the original
// leaves out are not in the file). Learned positions, a norm after each half, GELU.
//
// Source: Devlin et al. 2018 (arXiv:1810.04805), section 3; Conneau et al. 2019 (arXiv:1911.02116).
#include "model/encoder_spec.h"

namespace maru::model {

Result<EncoderSpec> bert_spec(const Config& config) {
  MARU_TRY(spec, common_encoder_spec(config));
  spec.learned_positions = true;
  return spec;
}

}  // namespace maru::model
