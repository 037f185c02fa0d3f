// importer/families/llama.cc - Llama 1 to 3, Mistral, Mixtral, SmolLM2, and those whose layer
// differs little: Arcee, SmolLM 3.
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void llama_metadata(Draft& draft) {
  decoder_metadata(draft);
  const uint64_t window = draft.config.count_or({"sliding_window"}, 0);
  if (window == 0) return;
  draft.plan.notes.push_back(
      fmt::format("the window of {} tokens is not kept: every token sees all before it", window));
}

constexpr Rule kMixtralRules[] = {
    {"ffn_gate_inp", "block_sparse_moe.gate"},
    {"ffn_gate_exps", "block_sparse_moe.experts.{}.w1", nullptr, kExperts},
    {"ffn_up_exps", "block_sparse_moe.experts.{}.w3", nullptr, kExperts},
    {"ffn_down_exps", "block_sparse_moe.experts.{}.w2", nullptr, kExperts}};
constexpr Rule kArceeRules[] = {{"ffn_up", "mlp.up_proj"}, {"ffn_down", "mlp.down_proj"}};

}  // namespace

constinit const Family kLlama = {.model_types = {"llama", "mistral"},
                                 .architecture = "llama",
                                 .metadata = llama_metadata,
                                 .ends = kDecoderEnds,
                                 .layer = {kTwoNorms, kAttentionRules, kGatedRules},
                                 .permute_rope = true};

constinit const Family kMixtral = {.model_types = {"mixtral"},
                                   .architecture = "llama",
                                   .metadata = llama_metadata,
                                   .ends = kDecoderEnds,
                                   .layer = {kTwoNorms, kAttentionRules, kMixtralRules},
                                   .kind = all_experts,
                                   .permute_rope = true};

constinit const Family kArcee = {.model_types = {"arcee"},
                                 .architecture = "arcee",
                                 .metadata = decoder_metadata,
                                 .ends = kDecoderEnds,
                                 .layer = {kTwoNorms, kAttentionRules, kArceeRules},
                                 .permute_rope = true};

constinit const Family kSmolLm3 = {.model_types = {"smollm3"},
                                   .architecture = "smollm3",
                                   .metadata = decoder_metadata,
                                   .ends = kDecoderEnds,
                                   .layer = {kTwoNorms, kAttentionRules, kGatedRules},
                                   .permute_rope = true};

}  // namespace maru::importer
