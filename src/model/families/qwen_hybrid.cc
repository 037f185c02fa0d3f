// model/families/qwen_hybrid.cc - Qwen3-Next and Qwen 3.5: three layers of gated delta net to one
// of attention with a gate on its output, norms on the heads of q and k, rope over part of a head.
// Qwen3-Next has experts and one that is shared; Qwen 3.5 (dense) has not.
//
// The file's norm weights already contain the "1 +" of the original. The files of the two differ in
// the order of heads: Qwen3-Next keeps the matrices of a key head together, those of Qwen 3.5 are
// tiled. Its rope has sections for pictures, which are all the same position in text.
// Sources: Yang et al. 2024 (arXiv:2412.06464); Qwen Team 2025, Qwen3-Next model card.
#include <fmt/format.h>

#include "model/families.h"

namespace maru::model {
namespace {

constexpr size_t kAttentionInterval = 4;

// Which layers have a state: by name, or all but every fourth.
Result<std::vector<bool>> recurrent_layers(const Config& config, size_t n_layer) {
  if (config.has("attention.recurrent_layers")) {
    return config.flags("attention.recurrent_layers", n_layer);
  }
  MARU_TRY(interval, config.count_or("full_attention_interval", kAttentionInterval));
  if (interval == 0) return Error::corrupt("full_attention_interval is 0");
  std::vector<bool> recurs(n_layer);
  for (size_t i = 0; i < n_layer; ++i) recurs[i] = (i + 1) % interval != 0;
  return recurs;
}

Result<DecoderSpec> hybrid_spec(const Config& config) {
  MARU_TRY(spec, common_spec(config, /*rope_interleaved=*/false));
  MARU_TRY(recurs, recurrent_layers(config, spec.n_layer()));
  MARU_TRY(n_predict, config.count_or("nextn_predict_layers", 0));
  MARU_TRY(kernel, config.count("ssm.conv_kernel"));
  MARU_TRY(n_inner, config.count("ssm.inner_size"));
  MARU_TRY(d_k, config.count("ssm.state_size"));
  MARU_TRY(n_head, config.count("ssm.time_step_rank"));
  MARU_TRY(n_head_k, config.count("ssm.group_count"));
  if (n_head == 0 || n_inner % n_head != 0) {
    return Error::corrupt(
        fmt::format("ssm.inner_size {} does not divide among {} heads", n_inner, n_head));
  }
  if (n_predict >= spec.n_layer()) return Error::corrupt("nextn_predict_layers leaves no layers");
  spec.layers.resize(spec.n_layer() - n_predict);  // those only guess further tokens
  for (size_t i = 0; i < spec.n_layer(); ++i) {
    if (recurs[i]) spec.layers[i].n_head_kv = 0;
  }
  spec.norm_names.ffn_in = "post_attention_norm";
  spec.qk_norm = QkNorm::kPerHead;
  spec.attention_gate = true;
  spec.recurrent = {.kind = RecurrentKind::kDeltaNet,
                    .kernel = kernel,
                    .n_head = n_head,
                    .n_head_k = n_head_k,
                    .d_k = d_k,
                    .d_v = n_inner / n_head};
  return spec;
}

}  // namespace

Result<DecoderSpec> qwen3_next_spec(const Config& config) {
  MARU_TRY(spec, hybrid_spec(config));
  MARU_TRY(moe, moe_spec(config));
  spec.recurrent.gates_by_key_head = true;
  spec.moe = moe;
  spec.moe.normalize = true;
  for (LayerSpec& layer : spec.layers) layer.experts = moe.n_expert > 0;
  return spec;
}

Result<DecoderSpec> qwen35_spec(const Config& config) {
  MARU_TRY(spec, hybrid_spec(config));
  spec.recurrent.heads_tiled = true;
  return spec;
}

}  // namespace maru::model
