#include "importer/decoder_metadata.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "importer/arrange.h"
#include "importer/family.h"

namespace maru::importer {
namespace {

constexpr uint64_t kRotationsMax = 4096;

// How much longer the waves of each pair get: kept where they are short, stretched where long.
// Source: Llama 3.1's model card and its reference code (apply_scaling).
std::vector<float> llama3_factors(HfConfig& rope, uint64_t n_rot, double base) {
  const double factor = rope.number_or({"factor"}, 8.0);
  const double low = rope.number_or({"low_freq_factor"}, 1.0);
  const double high = rope.number_or({"high_freq_factor"}, 4.0);
  const double n_ctx = rope.number_or({"original_max_position_embeddings"}, 8192.0);
  std::vector<float> factors;
  for (uint64_t i = 0; i < n_rot / 2; ++i) {
    // In float32, as the reference computes it.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(n_rot);
    const float freq = 1.0f / std::pow(static_cast<float>(base), exponent);
    const double wave = 2.0 * std::numbers::pi / freq;
    if (wave < n_ctx / high) {
      factors.push_back(1.0f);
    } else if (wave > n_ctx / low) {
      factors.push_back(static_cast<float>(factor));
    } else {
      const double smooth = (n_ctx / wave - low) / (high - low);
      factors.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / factor + smooth)));
    }
  }
  return factors;
}

double yarn_magnitude(double factor, double scale) {
  return factor <= 1.0 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

void yarn_metadata(Draft& draft, HfConfig& rope) {
  const double factor = rope.number({"factor"});
  draft.text("rope.scaling.type", "yarn");
  draft.f32("rope.scaling.factor", factor);
  const uint64_t n_ctx = rope.count_or({"original_max_position_embeddings"},
                                       draft.config.count_or({"max_position_embeddings"}, 0));
  draft.u32("rope.scaling.original_context_length", n_ctx);
  if (rope.has("beta_fast")) draft.f32("rope.scaling.yarn_beta_fast", rope.number({"beta_fast"}));
  if (rope.has("beta_slow")) draft.f32("rope.scaling.yarn_beta_slow", rope.number({"beta_slow"}));
  // Programs multiply by the usual magnitude themselves; only what differs from it is told.
  if (rope.has("attention_factor")) {
    const double wanted = rope.number({"attention_factor"});
    const double usual = yarn_magnitude(factor, 1.0);
    if (std::fabs(wanted / usual - 1.0) > 1e-6) {
      draft.f32("rope.scaling.attn_factor", wanted / usual);
    }
  }
}

}  // namespace

void sizes_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  const uint64_t n_layer = config.count({"num_hidden_layers", "n_layer", "num_layers"});
  if (n_layer == 0 || n_layer > kLayersMax) {
    return draft.fail(
        fmt::format("config.json names {} layers; expected 1 to {}", n_layer, kLayersMax));
  }
  draft.n_layer = n_layer;
  draft.u32("block_count", n_layer);
  draft.u32("embedding_length", config.count({"hidden_size", "n_embd", "d_model"}));
  if (config.has("vocab_size")) draft.u32("vocab_size", config.count({"vocab_size"}));
}

void rope_metadata(Draft& draft, uint64_t d_head) {
  HfConfig rope = draft.config.rope();
  double base = rope.number_or({"rope_theta"}, 10000.0);
  const auto n_rot = static_cast<uint64_t>(static_cast<double>(d_head) *
                                           rope.number_or({"partial_rotary_factor"}, 1.0));
  if (n_rot == 0 || n_rot > kRotationsMax) {
    return draft.fail(fmt::format("config.json: rope over {} values of a head", n_rot));
  }
  draft.u32("rope.dimension_count", n_rot);
  const std::string type = rope.text_or({"rope_type"}, "default");
  if (type == "linear") {
    draft.text("rope.scaling.type", "linear");
    draft.f32("rope.scaling.factor", rope.number({"factor"}));
  } else if (type == "yarn") {
    yarn_metadata(draft, rope);
  } else if (type == "llama3") {
    draft.add_values("rope_freqs.weight", llama3_factors(rope, n_rot, base));
  } else if (type == "dynamic" && rope.has("alpha")) {
    // Hunyuan's: a larger base, whatever the length.
    const auto d = static_cast<double>(d_head);
    base *= std::pow(rope.number({"alpha"}), d / (d - 2.0));
  } else if (type != "default" && type != "longrope" && type != "su") {
    draft.fail(
        Error::unsupported(fmt::format("rope scaling '{}'; known are default, linear, yarn, "
                                       "llama3, longrope and Hunyuan's dynamic",
                                       type)));
  }
  draft.f32("rope.freq_base", base);
  if (const auto done = rope.finish(); !done.ok()) draft.fail(done.error());
}

void expert_metadata(Draft& draft) {
  const uint64_t n_expert = n_experts(draft);
  if (n_expert == 0) return;
  draft.u32("expert_count", n_expert);
  draft.u32("expert_used_count", draft.config.count({"num_experts_per_tok", "moe_k"}));
}

void routed_expert_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  draft.u32("leading_dense_block_count", config.count_or({"first_k_dense_replace"}, 0));
  draft.u32("expert_feed_forward_length", config.count({"moe_intermediate_size"}));
  draft.u32("expert_shared_count", config.count_or({"n_shared_experts"}, 0));
  if (config.has("n_group")) draft.u32("expert_group_count", config.count({"n_group"}));
  if (config.has("topk_group")) draft.u32("expert_group_used_count", config.count({"topk_group"}));
  draft.f32("expert_weights_scale", config.number_or({"routed_scaling_factor"}, 1.0));
  draft.flag("expert_weights_norm", config.flag_or("norm_topk_prob", false));
}

void decoder_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  sizes_metadata(draft);
  const Heads h = heads(draft);
  draft.u32("context_length", config.count({"max_position_embeddings", "n_positions"}));
  if (config.has("intermediate_size")) {
    draft.u32("feed_forward_length", config.count({"intermediate_size"}));
  }
  draft.u32("attention.head_count", h.n_head);
  draft.u32("attention.head_count_kv", h.n_head_kv);
  draft.u32("attention.key_length", h.d_head);
  draft.u32("attention.value_length", h.d_head);
  if (config.has("rms_norm_eps") || config.has("norm_eps")) {
    draft.f32("attention.layer_norm_rms_epsilon", config.number({"rms_norm_eps", "norm_eps"}));
  }
  if (config.has("layer_norm_eps") || config.has("norm_epsilon")) {
    draft.f32("attention.layer_norm_epsilon", config.number({"layer_norm_eps", "norm_epsilon"}));
  }
  rope_metadata(draft, h.d_head);
  expert_metadata(draft);
}

std::vector<bool> window_layers(Draft& draft) {
  std::vector<bool> windows;
  for (const std::string& type : draft.config.texts("layer_types")) {
    windows.push_back(type == "sliding_attention");
  }
  return windows;
}

}  // namespace maru::importer
