// importer/families/qwen.cc - Qwen 2, 2.5 and 3, with experts and without.
#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void qwen_moe_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  decoder_metadata(draft);
  draft.u32("expert_feed_forward_length", config.count({"moe_intermediate_size"}));
  if (config.has("shared_expert_intermediate_size")) {
    draft.u32("expert_shared_feed_forward_length",
              config.count({"shared_expert_intermediate_size"}));
  }
  if (config.count_or({"decoder_sparse_step"}, 1) != 1 ||
      !config.numbers("mlp_only_layers").empty()) {
    draft.fail(Error::unsupported("config.json: only some layers have experts"));
  }
}

}  // namespace

constinit const Family kQwen2 = {.model_types = {"qwen2"},
                                 .architecture = "qwen2",
                                 .metadata = decoder_metadata,
                                 .ends = kDecoderEnds,
                                 .layer = {kTwoNorms, kAttentionRules, kGatedRules}};

constinit const Family kQwen3 = {
    .model_types = {"qwen3"},
    .architecture = "qwen3",
    .metadata = decoder_metadata,
    .ends = kDecoderEnds,
    .layer = {kTwoNorms, kAttentionRules, kHeadNormRules, kGatedRules}};

constinit const Family kQwen2Moe = {
    .model_types = {"qwen2_moe"},
    .architecture = "qwen2moe",
    .metadata = qwen_moe_metadata,
    .ends = kDecoderEnds,
    .layer = {kTwoNorms, kAttentionRules, kExpertRules, kSharedExpertRules},
    .kind = all_experts};

constinit const Family kQwen3Moe = {
    .model_types = {"qwen3_moe"},
    .architecture = "qwen3moe",
    .metadata = qwen_moe_metadata,
    .ends = kDecoderEnds,
    .layer = {kTwoNorms, kAttentionRules, kHeadNormRules, kExpertRules},
    .kind = all_experts};

}  // namespace maru::importer
