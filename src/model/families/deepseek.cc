// model/families/deepseek.cc - DeepSeek V2 (Lite) and V3: latent attention, a shared expert,
// experts by softmax (V2) or by sigmoid plus a bias (V3), from the best groups, after some dense
// layers.
//
// Source: DeepSeek-AI 2024 (arXiv:2405.04434), section 2; 2024 (arXiv:2412.19437), section 2.1.
#include <cmath>

#include "model/families.h"

namespace maru::model {
namespace {

// One KV head in the space of the latent vector; see LatentSpec.
Result<void> set_latent(const Config& config, DecoderSpec& spec) {
  MARU_TRY(d_latent, config.count("attention.kv_lora_rank"));
  MARU_TRY(d_q, config.count_or("attention.q_lora_rank", 0));
  MARU_TRY(d_rope, config.count("rope.dimension_count"));
  MARU_TRY(d_query, config.count("attention.key_length_mla"));
  MARU_TRY(d_value, config.count("attention.value_length_mla"));
  if (d_latent == 0 || d_latent + d_rope > kHeadMax || d_query <= d_rope || d_query > kHeadMax ||
      d_value == 0 || d_value > kHeadMax) {
    return Error::corrupt("the sizes of the latent attention make no sense");
  }
  spec.latent = {d_latent, d_rope, d_query - d_rope, d_value, d_q};
  spec.d_k = d_latent + d_rope;
  spec.d_v = d_latent;
  spec.attention_scale = 1.0f / std::sqrt(static_cast<float>(d_query));
  for (LayerSpec& layer : spec.layers) layer.n_head_kv = 1;
  return {};
}

}  // namespace

Result<DecoderSpec> deepseek2_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/true));
  MARU_TRY_VOID(set_latent(config, spec));
  MARU_TRY(moe, moe_spec(config));
  MARU_TRY(n_dense, config.count_or("leading_dense_block_count", 0));
  spec.moe = moe;
  for (size_t i = n_dense; i < spec.n_layer(); ++i) spec.layers[i].experts = moe.n_expert > 0;
  // YaRN's temperature acts on the scores here, squared, and not on the rotations.
  MARU_TRY(multiplier, config.number_or("rope.scaling.yarn_log_multiplier", 0.0f));
  if (multiplier == 0.0f) return spec;
  MARU_TRY(factor, config.number("rope.scaling.factor"));
  if (!(factor >= 1.0f)) return Error::corrupt("rope.scaling.factor must be at least 1");
  const float temperature = 1.0f + multiplier * std::log(factor);
  spec.attention_scale *= temperature * temperature;
  spec.ropes[0].magnitude = 1.0;
  return spec;
}

}  // namespace maru::model
