// importer/families/layer_norm.cc - families with layer norms: Command R7B (cohere2), StarCoder 2,
// StableLM 2, Nemotron.
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void cohere2_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  decoder_metadata(draft);
  draft.f32("logit_scale", config.number({"logit_scale"}));
  draft.u32("attention.sliding_window", config.count({"sliding_window"}));
  draft.text("rope.scaling.type", "none");
}

void starcoder2_metadata(Draft& draft) {
  decoder_metadata(draft);
  const uint64_t window = draft.config.count_or({"sliding_window"}, 0);
  if (window > 0) draft.u32("attention.sliding_window", window);
}

void stablelm_metadata(Draft& draft) {
  draft.config.set_default("partial_rotary_factor", draft.config.number_or({"rope_pct"}, 0.25));
  decoder_metadata(draft);
  draft.flag("use_parallel_residual", draft.config.flag_or("use_parallel_residual", false));
}

void nemotron_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  config.set_default("partial_rotary_factor", 0.5);
  config.set_default("layer_norm_eps", config.number_or({"norm_eps"}, 1e-5));
  decoder_metadata(draft);
}

constexpr Rule kCohereEnds[] = {{"token_embd", "embed_tokens"}, {"output_norm", "norm"}};
constexpr Rule kCohereNorm[] = {{"attn_norm", "input_layernorm"}};
constexpr Rule kStarcoderFfn[] = {{"ffn_up", "mlp.c_fc"}, {"ffn_down", "mlp.c_proj"}};
constexpr Rule kNemotronFfn[] = {{"ffn_up", "mlp.up_proj"}, {"ffn_down", "mlp.down_proj"}};
// Of the 12B: one norm for both halves of a layer, and one for each head of q and k.
constexpr Rule kStablelmNorms[] = {
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm", nullptr, kOptional},
    {"attn_q_norm", "self_attn.q_layernorm.norms.{}", nullptr, kOptional},
    {"attn_k_norm", "self_attn.k_layernorm.norms.{}", nullptr, kOptional}};

}  // namespace

constinit const Family kCohere2 = {.model_types = {"cohere2"},
                                   .architecture = "cohere2",
                                   .metadata = cohere2_metadata,
                                   .ends = kCohereEnds,
                                   .layer = {kCohereNorm, kAttentionRules, kGatedRules}};

constinit const Family kStarcoder2 = {.model_types = {"starcoder2"},
                                      .architecture = "starcoder2",
                                      .metadata = starcoder2_metadata,
                                      .ends = kDecoderEnds,
                                      .layer = {kTwoNorms, kAttentionRules, kStarcoderFfn}};

constinit const Family kStablelm = {.model_types = {"stablelm"},
                                    .architecture = "stablelm",
                                    .metadata = stablelm_metadata,
                                    .ends = kDecoderEnds,
                                    .layer = {kStablelmNorms, kAttentionRules, kGatedRules}};

constinit const Family kNemotron = {.model_types = {"nemotron"},
                                    .architecture = "nemotron",
                                    .metadata = nemotron_metadata,
                                    .ends = kDecoderEnds,
                                    .layer = {kTwoNorms, kAttentionRules, kNemotronFfn},
                                    .norms_plus_one = true};

}  // namespace maru::importer
