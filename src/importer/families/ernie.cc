// importer/families/ernie.cc - ERNIE 4.5, dense and with experts. Its rope turns neighbours
// already.
#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void ernie_moe_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  decoder_metadata(draft);
  const uint64_t n_shared = config.count_or({"moe_num_shared_experts"}, 0);
  const uint64_t d_ff = config.count({"moe_intermediate_size"});
  draft.u32("interleave_moe_layer_step", config.count_or({"moe_layer_interval"}, 1));
  draft.u32("leading_dense_block_count", config.count_or({"moe_layer_start_index"}, 0));
  draft.u32("expert_feed_forward_length", d_ff);
  draft.u32("expert_shared_count", n_shared);
  if (n_shared > 0) draft.u32("expert_shared_feed_forward_length", n_shared * d_ff);
}

Flags kind(Draft& draft, size_t layer) {
  HfConfig& config = draft.config;
  const uint64_t interval = config.count_or({"moe_layer_interval"}, 1);
  const bool experts = layer >= config.count_or({"moe_layer_start_index"}, 0) && interval > 0 &&
                       (layer + 1) % interval == 0;
  return kAttention | (experts ? kExperts : kDense);
}

constexpr Rule kBias[] = {{"exp_probs_b.bias", "mlp.moe_statics.e_score_correction_bias", squeeze,
                           kExact | kExperts | kOptional}};

}  // namespace

constinit const Family kErnie = {.model_types = {"ernie4_5"},
                                 .architecture = "ernie4_5",
                                 .metadata = decoder_metadata,
                                 .ends = kDecoderEnds,
                                 .layer = {kTwoNorms, kAttentionRules, kGatedRules}};

constinit const Family kErnieMoe = {
    .model_types = {"ernie4_5_moe"},
    .architecture = "ernie4_5-moe",
    .metadata = ernie_moe_metadata,
    .ends = kDecoderEnds,
    .layer = {kTwoNorms, kAttentionRules, kGatedRules, kExpertRules, kSharedExpertRules, kBias},
    .kind = kind};

}  // namespace maru::importer
