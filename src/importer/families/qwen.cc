// importer/families/qwen.cc - Qwen 2, 2.5 and 3.
#include "importer/common_rules.h"

namespace maru::importer {

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

}  // namespace maru::importer
