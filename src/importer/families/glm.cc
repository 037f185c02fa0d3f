// importer/families/glm.cc - GLM 4, and GLM 4.5 with experts.
#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void glm4_metadata(Draft& draft) {
  draft.config.set_default("partial_rotary_factor", 0.5);
  decoder_metadata(draft);
}

void glm4_moe_metadata(Draft& draft) {
  glm4_metadata(draft);
  routed_expert_metadata(draft);
  draft.u32("expert_gating_func", 2);  // sigmoid
}

constexpr Rule kGlm4Rules[] = {{"attn_norm", "input_layernorm", norm},
                               {"post_attention_norm", "post_self_attn_layernorm", norm},
                               {"ffn_norm", "post_attention_layernorm", norm},
                               {"post_ffw_norm", "post_mlp_layernorm", norm},
                               {"ffn_up", "mlp.gate_up_proj"},
                               {"ffn_down", "mlp.down_proj"}};
constexpr Rule kMoeRules[] = {{"attn_norm", "input_layernorm", norm},
                              {"post_attention_norm", "post_attention_layernorm", norm},
                              {"attn_q_norm", "self_attn.q_norm", norm, kOptional},
                              {"attn_k_norm", "self_attn.k_norm", norm, kOptional}};

}  // namespace

constinit const Family kGlm4 = {.model_types = {"glm4"},
                                .architecture = "glm4",
                                .metadata = glm4_metadata,
                                .ends = kDecoderEnds,
                                .layer = {kGlm4Rules, kAttentionRules}};

constinit const Family kGlm4Moe = {
    .model_types = {"glm4_moe"},
    .architecture = "glm4moe",
    .metadata = glm4_moe_metadata,
    .ends = kDecoderEnds,
    .layer = {kMoeRules, kAttentionRules, kGatedRules, kExpertRules, kSharedExpertRules},
    .kind = experts_after_dense};

}  // namespace maru::importer
