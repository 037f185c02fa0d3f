// importer/families/gemma.cc - Gemma 2 and 3 (text).
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

// Only these sizes divide scores by another head size than their own; GGUF has no key for it.
constexpr uint64_t kLayersOf27bGemma2 = 46;
constexpr uint64_t kLayersOf27bGemma3 = 62;

void check_score_scale(Draft& draft) {
  const Heads h = heads(draft);
  const bool is_27b = draft.n_layer == kLayersOf27bGemma2 || draft.n_layer == kLayersOf27bGemma3;
  const double scale =
      draft.config.number_or({"query_pre_attn_scalar"}, static_cast<double>(h.d_head));
  if (is_27b || scale == static_cast<double>(h.d_head)) return;
  draft.fail(Error::unsupported(fmt::format(
      "config.json: query_pre_attn_scalar {} differs from the head's size {}", scale, h.d_head)));
}

void gemma2_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  decoder_metadata(draft);
  check_score_scale(draft);
  draft.f32("attn_logit_softcapping", config.number({"attn_logit_softcapping"}));
  draft.f32("final_logit_softcapping", config.number({"final_logit_softcapping"}));
  draft.u32("attention.sliding_window", config.count({"sliding_window"}));
}

void gemma3_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  // What the configurations of the models with pictures leave out.
  config.set_default("num_attention_heads", 8);
  config.set_default("num_key_value_heads", 4);
  config.set_default("head_dim", 256);
  config.set_default("rms_norm_eps", 1e-6);
  config.set_default("max_position_embeddings", 131072);
  config.set_default("rope_theta", 1000000.0);
  config.set_default("rope_local_base_freq", 10000.0);
  decoder_metadata(draft);
  check_score_scale(draft);
  draft.f32("rope.freq_base_swa", config.rope("sliding_attention").number({"rope_theta"}));
  if (config.has("final_logit_softcapping")) {
    draft.f32("final_logit_softcapping", config.number({"final_logit_softcapping"}));
  }
  draft.u32("attention.sliding_window", config.count({"sliding_window"}));
}

constexpr Rule kEnds[] = {{"token_embd", "embed_tokens"}, {"output_norm", "norm", norm}};
constexpr Rule kNorms[] = {{"attn_norm", "input_layernorm", norm},
                           {"post_attention_norm", "post_attention_layernorm", norm},
                           {"ffn_norm", "pre_feedforward_layernorm", norm},
                           {"post_ffw_norm", "post_feedforward_layernorm", norm}};

}  // namespace

constinit const Family kGemma2 = {.model_types = {"gemma2"},
                                  .architecture = "gemma2",
                                  .metadata = gemma2_metadata,
                                  .ends = kEnds,
                                  .layer = {kNorms, kAttentionRules, kGatedRules},
                                  .norms_plus_one = true};

constinit const Family kGemma3 = {.model_types = {"gemma3_text", "gemma3"},
                                  .architecture = "gemma3",
                                  .metadata = gemma3_metadata,
                                  .ends = kEnds,
                                  .layer = {kNorms, kAttentionRules, kHeadNormRules, kGatedRules},
                                  .norms_plus_one = true};

}  // namespace maru::importer
