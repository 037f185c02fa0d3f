// importer/families/seed.cc - Seed-OSS and Hunyuan dense: the Qwen layer under other names.
#include "importer/common_rules.h"

namespace maru::importer {
namespace {

constexpr Rule kSeedNorms[] = {{"attn_norm", "input_layernorm"},
                               {"post_attention_norm", "post_attention_layernorm"}};
constexpr Rule kHunyuanNorms[] = {{"attn_q_norm", "self_attn.query_layernorm"},
                                  {"attn_k_norm", "self_attn.key_layernorm"}};

}  // namespace

constinit const Family kSeedOss = {.model_types = {"seed_oss"},
                                   .architecture = "seed_oss",
                                   .metadata = decoder_metadata,
                                   .ends = kDecoderEnds,
                                   .layer = {kSeedNorms, kAttentionRules, kGatedRules}};

constinit const Family kHunyuanDense = {
    .model_types = {"hunyuan_v1_dense"},
    .architecture = "hunyuan-dense",
    .metadata = decoder_metadata,
    .ends = kDecoderEnds,
    .layer = {kTwoNorms, kAttentionRules, kHunyuanNorms, kGatedRules}};

}  // namespace maru::importer
