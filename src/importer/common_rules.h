// importer/common_rules.h - rules that many families share, and what a family's file includes.
#pragma once
#include "importer/arrange.h"
#include "importer/decoder_metadata.h"
#include "importer/families.h"
#include "importer/family.h"

namespace maru::importer {

inline constexpr Rule kDecoderEnds[] = {{"token_embd", "embed_tokens"},
                                        {"output_norm", "norm", norm},
                                        {"output", "/lm_head", nullptr, kOptional}};
inline constexpr Rule kAttentionRules[] = {
    {"attn_q", "self_attn.q_proj", rope_q, kAttention},
    {"attn_k", "self_attn.k_proj", rope_k, kAttention},
    {"attn_v", "self_attn.v_proj", nullptr, kAttention},
    {"attn_output", "self_attn.o_proj", nullptr, kAttention}};
inline constexpr Rule kHeadNormRules[] = {{"attn_q_norm", "self_attn.q_norm", norm, kAttention},
                                          {"attn_k_norm", "self_attn.k_norm", norm, kAttention}};
// Before attention and before the feed-forward.
inline constexpr Rule kTwoNorms[] = {{"attn_norm", "input_layernorm", norm},
                                     {"ffn_norm", "post_attention_layernorm", norm}};
inline constexpr Rule kGatedRules[] = {{"ffn_gate", "mlp.gate_proj", nullptr, kDense},
                                       {"ffn_up", "mlp.up_proj", nullptr, kDense},
                                       {"ffn_down", "mlp.down_proj", nullptr, kDense}};
// Experts, each in tensors of its own.
inline constexpr Rule kExpertRules[] = {
    {"ffn_gate_inp", "mlp.gate", nullptr, kExperts},
    {"ffn_gate_exps", "mlp.experts.{}.gate_proj", nullptr, kExperts},
    {"ffn_up_exps", "mlp.experts.{}.up_proj", nullptr, kExperts},
    {"ffn_down_exps", "mlp.experts.{}.down_proj", nullptr, kExperts},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias", nullptr,
     kExperts | kExact | kOptional}};
// An expert that all tokens go to.
inline constexpr Rule kSharedExpertRules[] = {
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj", nullptr, kExperts | kOptional},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj", nullptr, kExperts | kOptional},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj", nullptr, kExperts | kOptional},
    {"ffn_gate_shexp", "mlp.shared_experts.gate_proj", nullptr, kExperts | kOptional},
    {"ffn_up_shexp", "mlp.shared_experts.up_proj", nullptr, kExperts | kOptional},
    {"ffn_down_shexp", "mlp.shared_experts.down_proj", nullptr, kExperts | kOptional},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate", nullptr, kExperts | kOptional}};

// Kinds of layers: experts everywhere; in all behind the first first_k_dense_replace.
inline Flags all_experts(Draft&, size_t) { return kAttention | kExperts; }
inline Flags experts_after_dense(Draft& draft, size_t layer) {
  const bool dense = layer < draft.config.count_or({"first_k_dense_replace"}, 0);
  return kAttention | (dense ? kDense : kExperts);
}

}  // namespace maru::importer
