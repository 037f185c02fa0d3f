// importer/families/granite.cc - Granite 3, with experts (and a shared one) and without.
#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void granite_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  decoder_metadata(draft);
  draft.f32("attention.scale", config.number({"attention_multiplier"}));
  draft.f32("embedding_scale", config.number({"embedding_multiplier"}));
  draft.f32("residual_scale", config.number({"residual_multiplier"}));
  draft.f32("logit_scale", config.number({"logits_scaling"}));
  if (const uint64_t n = config.count_or({"shared_intermediate_size"}, 0); n > 0) {
    draft.u32("expert_shared_feed_forward_length", n);
  }
}

constexpr Rule kExpertTable[] = {
    {"ffn_gate_inp", "block_sparse_moe.router.layer"},
    {"ffn_gate_exps", "block_sparse_moe.input_linear", first_half},
    {"ffn_up_exps", "block_sparse_moe.input_linear", second_half},
    {"ffn_down_exps", "block_sparse_moe.output_linear"},
    {"ffn_gate_shexp", "shared_mlp.input_linear", first_half, kOptional},
    {"ffn_up_shexp", "shared_mlp.input_linear", second_half, kOptional},
    {"ffn_down_shexp", "shared_mlp.output_linear", nullptr, kOptional}};

}  // namespace

constinit const Family kGranite = {.model_types = {"granite"},
                                   .architecture = "granite",
                                   .metadata = granite_metadata,
                                   .ends = kDecoderEnds,
                                   .layer = {kTwoNorms, kAttentionRules, kGatedRules},
                                   .permute_rope = true};

constinit const Family kGraniteMoe = {.model_types = {"granitemoe", "granitemoeshared"},
                                      .architecture = "granitemoe",
                                      .metadata = granite_metadata,
                                      .ends = kDecoderEnds,
                                      .layer = {kTwoNorms, kAttentionRules, kExpertTable},
                                      .kind = all_experts,
                                      .permute_rope = true};

}  // namespace maru::importer
