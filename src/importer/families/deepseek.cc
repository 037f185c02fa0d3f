// importer/families/deepseek.cc - DeepSeek V2 (Lite) and V3: latent attention.
//
// GGUF keeps the two halves of kv_b_proj apart: what turns a query's part into the latent space
// (each head's matrix turned over), and what makes values of latent vectors.
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

struct Latent {
  uint64_t n_head = 1, d_latent = 1, d_nope = 1, d_rope = 1, d_value = 1;
};

Latent latent(Draft& draft) {
  HfConfig& config = draft.config;
  return {heads(draft).n_head, config.count({"kv_lora_rank"}), config.count({"qk_nope_head_dim"}),
          config.count({"qk_rope_head_dim"}), config.count({"v_head_dim"})};
}

// Whether kv_b_proj has a row for each part of each head.
bool fits(Draft& draft, const NewTensor& tensor, const Latent& mla) {
  const SourceTensor& source = *tensor.sources.front();
  if (source.shape.size() == 2 && source.shape[1] == mla.d_latent &&
      source.shape[0] == mla.n_head * (mla.d_nope + mla.d_value)) {
    return true;
  }
  draft.fail(fmt::format("tensor '{}' has shape {}, expected [{}, {}]", source.name,
                         source.shape_text(), mla.n_head * (mla.d_nope + mla.d_value),
                         mla.d_latent));
  return false;
}

void to_latent(Draft& draft, NewTensor& tensor) {
  const Latent mla = latent(draft);
  if (!fits(draft, tensor, mla)) return;
  tensor.dims = {mla.d_nope, mla.d_latent, mla.n_head};
  tensor.row = [source = tensor.sources.front(), mla](uint64_t row) {
    const uint64_t head = row / mla.d_latent;
    const uint64_t first_row = head * (mla.d_nope + mla.d_value);
    return RowRef{source, first_row * mla.d_latent + row % mla.d_latent, mla.d_latent};
  };
}

void from_latent(Draft& draft, NewTensor& tensor) {
  const Latent mla = latent(draft);
  if (!fits(draft, tensor, mla)) return;
  tensor.dims = {mla.d_latent, mla.d_value, mla.n_head};
  tensor.row = [source = tensor.sources.front(), mla](uint64_t row) {
    const uint64_t head = row / mla.d_value;
    const uint64_t from = head * (mla.d_nope + mla.d_value) + mla.d_nope + row % mla.d_value;
    return RowRef{source, from * mla.d_latent, 1};
  };
}

void deepseek_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  sizes_metadata(draft);
  const Latent mla = latent(draft);
  draft.u32("context_length", config.count({"max_position_embeddings"}));
  draft.u32("feed_forward_length", config.count({"intermediate_size"}));
  draft.u32("attention.head_count", mla.n_head);
  draft.u32("attention.head_count_kv", 1);  // one latent vector for all
  draft.u32("attention.key_length", mla.d_latent + mla.d_rope);
  draft.u32("attention.value_length", mla.d_latent);
  draft.u32("attention.key_length_mla", mla.d_nope + mla.d_rope);
  draft.u32("attention.value_length_mla", mla.d_value);
  draft.u32("attention.kv_lora_rank", mla.d_latent);
  if (config.has("q_lora_rank")) {
    draft.u32("attention.q_lora_rank", config.count({"q_lora_rank"}));
  }
  draft.f32("attention.layer_norm_rms_epsilon", config.number_or({"rms_norm_eps"}, 1e-6));
  rope_metadata(draft, mla.d_rope);
  HfConfig rope = config.rope();
  if (rope.has("mscale_all_dim")) {
    draft.f32("rope.scaling.yarn_log_multiplier", 0.1 * rope.number({"mscale_all_dim"}));
  }
  expert_metadata(draft);
  routed_expert_metadata(draft);
  const bool is_v3 = config.text_or({"model_type"}, "") == "deepseek_v3";
  const std::string scoring = config.text_or({"scoring_func"}, is_v3 ? "sigmoid" : "softmax");
  draft.u32("expert_gating_func", scoring == "sigmoid" ? 2 : 1);
}

constexpr Rule kAttentionTable[] = {
    {"attn_q", "self_attn.q_proj", nullptr, kOptional},
    {"attn_q_a", "self_attn.q_a_proj", nullptr, kOptional},
    {"attn_q_a_norm", "self_attn.q_a_layernorm", nullptr, kOptional},
    {"attn_q_b", "self_attn.q_b_proj", nullptr, kOptional},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    {"attn_k_b", "self_attn.kv_b_proj", to_latent},
    {"attn_v_b", "self_attn.kv_b_proj", from_latent},
    {"attn_output", "self_attn.o_proj"}};

}  // namespace

constinit const Family kDeepseek = {
    .model_types = {"deepseek_v2", "deepseek_v3"},
    .architecture = "deepseek2",
    .metadata = deepseek_metadata,
    .ends = kDecoderEnds,
    .layer = {kTwoNorms, kAttentionTable, kGatedRules, kExpertRules, kSharedExpertRules},
    .kind = experts_after_dense};

}  // namespace maru::importer
