// importer/families/lfm2.cc - LFM2, dense and with experts: short convolutions among layers of
// attention.
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

bool is_conv(Draft& draft, size_t layer) {
  const std::vector<std::string> types = draft.config.texts("layer_types");
  return layer < types.size() && types[layer] == "conv";
}

// What the model's own program makes of intermediate_size.
uint64_t dense_size(Draft& draft) {
  HfConfig& config = draft.config;
  uint64_t n = config.count({"block_ff_dim", "intermediate_size"});
  if (!config.flag_or("block_auto_adjust_ff_dim", false)) return n;
  const uint64_t multiple = config.count_or({"block_multiple_of"}, 256);
  n = 2 * n / 3;
  n = static_cast<uint64_t>(config.number_or({"block_ffn_dim_multiplier"}, 1.0) *
                            static_cast<double>(n));
  return multiple == 0 ? n : (n + multiple - 1) / multiple * multiple;
}

void lfm2_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  sizes_metadata(draft);
  const Heads h = heads(draft);
  if (config.texts("layer_types").size() != draft.n_layer) {
    return draft.fail("config.json: layer_types does not name every layer");
  }
  std::vector<int32_t> n_head_kv;
  for (size_t i = 0; i < draft.n_layer; ++i) {
    n_head_kv.push_back(is_conv(draft, i) ? 0 : static_cast<int32_t>(h.n_head_kv));
  }
  draft.u32("context_length", config.count({"max_position_embeddings"}));
  draft.u32("feed_forward_length", dense_size(draft));
  draft.u32("attention.head_count", h.n_head);
  draft.i32s("attention.head_count_kv", n_head_kv);
  draft.f32("attention.layer_norm_rms_epsilon", config.number({"norm_eps", "block_norm_eps"}));
  draft.u32("shortconv.l_cache", config.count({"conv_L_cache"}));
  rope_metadata(draft, h.d_head);
  expert_metadata(draft);
}

void lfm2_moe_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  lfm2_metadata(draft);
  draft.u32("expert_feed_forward_length", config.count({"moe_intermediate_size"}));
  draft.u32("leading_dense_block_count", config.count_or({"num_dense_layers"}, 0));
  draft.u32("expert_gating_func", 2);
  const double scale = config.number_or({"routed_scaling_factor"}, 1.0);
  if (scale != 1.0) draft.f32("expert_weights_scale", scale);
}

Flags kind(Draft& draft, size_t layer) {
  const bool dense = draft.config.text_or({"model_type"}, "") == "lfm2" ||
                     layer < draft.config.count_or({"num_dense_layers"}, 0);
  return (dense ? kDense : kExperts) | (is_conv(draft, layer) ? kRecurrent : kAttention);
}

constexpr Rule kEnds[] = {{"token_embd", "embed_tokens"},
                          {"token_embd_norm", "embedding_norm"},  // the last norm, for all its name
                          {"output", "/lm_head", nullptr, kOptional}};
constexpr Rule kMixerRules[] = {{"attn_norm", "operator_norm"},
                                {"ffn_norm", "ffn_norm"},
                                {"attn_q", "self_attn.q_proj", nullptr, kAttention},
                                {"attn_k", "self_attn.k_proj", nullptr, kAttention},
                                {"attn_v", "self_attn.v_proj", nullptr, kAttention},
                                {"attn_output", "self_attn.out_proj", nullptr, kAttention},
                                {"attn_q_norm", "self_attn.q_layernorm", nullptr, kAttention},
                                {"attn_k_norm", "self_attn.k_layernorm", nullptr, kAttention},
                                {"shortconv.conv", "conv.conv", squeeze, kRecurrent},
                                {"shortconv.in_proj", "conv.in_proj", nullptr, kRecurrent},
                                {"shortconv.out_proj", "conv.out_proj", nullptr, kRecurrent}};
constexpr Rule kFfnRules[] = {
    {"ffn_gate", "feed_forward.w1", nullptr, kDense},
    {"ffn_up", "feed_forward.w3", nullptr, kDense},
    {"ffn_down", "feed_forward.w2", nullptr, kDense},
    {"ffn_gate_inp", "feed_forward.gate", nullptr, kExperts},
    {"exp_probs_b.bias", "feed_forward.expert_bias", nullptr, kExperts | kExact | kOptional},
    {"ffn_gate_exps", "feed_forward.experts.{}.w1", nullptr, kExperts},
    {"ffn_up_exps", "feed_forward.experts.{}.w3", nullptr, kExperts},
    {"ffn_down_exps", "feed_forward.experts.{}.w2", nullptr, kExperts}};

}  // namespace

constinit const Family kLfm2 = {.model_types = {"lfm2"},
                                .architecture = "lfm2",
                                .metadata = lfm2_metadata,
                                .ends = kEnds,
                                .layer = {kMixerRules, kFfnRules},
                                .kind = kind};

constinit const Family kLfm2Moe = {.model_types = {"lfm2_moe"},
                                   .architecture = "lfm2moe",
                                   .metadata = lfm2_moe_metadata,
                                   .ends = kEnds,
                                   .layer = {kMixerRules, kFfnRules},
                                   .kind = kind};

}  // namespace maru::importer
