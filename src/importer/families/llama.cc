// importer/families/llama.cc - Llama 1 to 3, Mistral, SmolLM2 and what shares their layer.
#include "importer/common_rules.h"

namespace maru::importer {

constinit const Family kLlama = {.model_types = {"llama", "mistral"},
                                 .architecture = "llama",
                                 .metadata = decoder_metadata,
                                 .ends = kDecoderEnds,
                                 .layer = {kTwoNorms, kAttentionRules, kGatedRules},
                                 .permute_rope = true};

}  // namespace maru::importer
