// importer/families/olmo.cc - OLMo 2 and 3, OLMoE; and EXAONE 4, whose norms stand at the same
// places.
#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void olmo2_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  decoder_metadata(draft);
  const uint64_t window = config.count_or({"sliding_window"}, 0);
  if (window == 0) return;
  std::vector<bool> windows = window_layers(draft);
  for (size_t i = windows.size(); i < draft.n_layer; ++i) windows.push_back((i + 1) % 4 != 0);
  windows.resize(draft.n_layer);
  draft.u32("attention.sliding_window", window);
  draft.flags("attention.sliding_window_pattern", windows);
  draft.f32("rope.freq_base_swa", config.rope("sliding_attention").number({"rope_theta"}));
}

void exaone4_metadata(Draft& draft) {
  decoder_metadata(draft);
  const uint64_t window = draft.config.count_or({"sliding_window"}, 0);
  if (window == 0) return;
  draft.u32("attention.sliding_window", window);
  std::vector<bool> windows = window_layers(draft);
  if (windows.size() == draft.n_layer) draft.flags("attention.sliding_window_pattern", windows);
}

constexpr Rule kNormsBehind[] = {{"post_attention_norm", "post_attention_layernorm", norm},
                                 {"post_ffw_norm", "post_feedforward_layernorm", norm}};

}  // namespace

constinit const Family kOlmo2 = {
    .model_types = {"olmo2", "olmo3"},
    .architecture = "olmo2",
    .metadata = olmo2_metadata,
    .ends = kDecoderEnds,
    .layer = {kNormsBehind, kAttentionRules, kHeadNormRules, kGatedRules}};

constinit const Family kOlmoe = {
    .model_types = {"olmoe"},
    .architecture = "olmoe",
    .metadata = decoder_metadata,
    .ends = kDecoderEnds,
    .layer = {kTwoNorms, kAttentionRules, kHeadNormRules, kExpertRules},
    .kind = all_experts};

constinit const Family kExaone4 = {
    .model_types = {"exaone4"},
    .architecture = "exaone4",
    .metadata = exaone4_metadata,
    .ends = kDecoderEnds,
    .layer = {kNormsBehind, kAttentionRules, kHeadNormRules, kGatedRules}};

}  // namespace maru::importer
