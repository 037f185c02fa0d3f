// model/families/granite.cc - Granite 3: the llama layer with a factor on embeddings, residuals,
// scores and logits; and with experts, weighed by a softmax over the chosen. Source: IBM 2024,
// Granite 3.0 language models, section 2.
#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> granite_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/true));
  MARU_TRY(embedding, config.number_or("embedding_scale", 1.0f));
  MARU_TRY(residual, config.number_or("residual_scale", 1.0f));
  MARU_TRY(attention, config.number_or("attention.scale", spec.attention_scale));
  MARU_TRY(logit, config.number_or("logit_scale", 1.0f));
  if (!(logit != 0.0f)) return Error::corrupt("logit_scale is 0");
  spec.embedding_scale = embedding, spec.residual_scale = residual;
  spec.attention_scale = attention, spec.logit_scale = 1.0f / logit;
  MARU_TRY(moe, moe_spec(config));
  spec.moe = moe;
  spec.moe.gating = Gating::kSoftmaxOfBest;
  for (LayerSpec& layer : spec.layers) layer.experts = moe.n_expert > 0;
  return spec;
}

}  // namespace maru::model
