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
// Experts, each in tensors of its own, or all in one of [n_expert, 2 * d_ff, d_model].
inline constexpr Rule kExpertRules[] = {
    {"ffn_gate_inp", "mlp.gate", nullptr, kExperts},
    {"ffn_gate_exps", "mlp.experts.{}.gate_proj", nullptr, kExperts},
    {"ffn_up_exps", "mlp.experts.{}.up_proj", nullptr, kExperts},
    {"ffn_down_exps", "mlp.experts.{}.down_proj", nullptr, kExperts}};

}  // namespace maru::importer
