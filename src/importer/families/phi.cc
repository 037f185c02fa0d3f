// importer/families/phi.cc - Phi 3 and 4 (mini, medium): q, k, v in one tensor, gate and up in
// another, as GGUF keeps them; two sets of rope factors where the context is long.
#include <fmt/format.h>

#include <cmath>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void add_factors(Draft& draft, HfConfig& rope, const char* key, const char* name) {
  std::vector<float> values;
  for (const double factor : rope.numbers(key)) values.push_back(static_cast<float>(factor));
  if (values.empty()) return draft.fail(fmt::format("config.json: longrope without {}", key));
  draft.add_values(name, std::move(values));
}

void phi3_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  decoder_metadata(draft);
  HfConfig rope = config.rope();
  const double n_ctx = config.number({"max_position_embeddings"});
  const double n_original = rope.number_or({"original_max_position_embeddings"}, n_ctx);
  draft.u32("rope.scaling.original_context_length", static_cast<uint64_t>(n_original));
  draft.u32("attention.sliding_window", config.count_or({"sliding_window"}, 0));
  const std::string type = rope.text_or({"rope_type"}, "default");
  if (type == "longrope" || type == "su") {
    const double scale = n_original > 1.0 ? n_ctx / n_original : 1.0;
    const double magnitude =
        scale > 1.0 ? std::sqrt(1.0 + std::log(scale) / std::log(n_original)) : 1.0;
    draft.f32("rope.scaling.attn_factor", rope.number_or({"attention_factor"}, magnitude));
    add_factors(draft, rope, "long_factor", "rope_factors_long.weight");
    add_factors(draft, rope, "short_factor", "rope_factors_short.weight");
  }
  if (const auto done = rope.finish(); !done.ok()) draft.fail(done.error());
}

constexpr Rule kRules[] = {{"attn_qkv", "self_attn.qkv_proj"},
                           {"attn_output", "self_attn.o_proj"},
                           {"ffn_up", "mlp.gate_up_proj"},
                           {"ffn_down", "mlp.down_proj"}};

}  // namespace

constinit const Family kPhi3 = {.model_types = {"phi3"},
                                .architecture = "phi3",
                                .metadata = phi3_metadata,
                                .ends = kDecoderEnds,
                                .layer = {kTwoNorms, kRules}};

}  // namespace maru::importer
