#include "model/spec.h"

#include <fmt/format.h>

#include <cmath>

namespace maru::model {
namespace {

constexpr size_t kLayersMax = 1024;
constexpr size_t kHeadsMax = 1024;
constexpr size_t kConvTapsMax = 64;
constexpr size_t kStateValuesMax = size_t{1} << 26;  // of one layer's matrices

Result<size_t> vocabulary_size(const Config& config) {
  MARU_TRY(embeddings, config.file().tensor("token_embd.weight"));
  if (embeddings.n_rows() > kCountMax) {
    return Error::corrupt(fmt::format("tensor 'token_embd.weight' has {} rows, more than {}",
                                      embeddings.n_rows(), kCountMax));
  }
  return embeddings.n_rows();
}

Result<void> check_heads(const DecoderSpec& spec) {
  if (spec.d_k == 0 || spec.d_v == 0 || spec.n_head == 0 || spec.n_head > kHeadsMax ||
      spec.d_k > kHeadMax || spec.d_v > kHeadMax) {
    return Error::corrupt(fmt::format("{} heads of {} and {} values in a model of {} make no sense",
                                      spec.n_head, spec.d_k, spec.d_v, spec.d_model));
  }
  return {};
}

Result<void> check_recurrent(const DecoderSpec& spec) {
  const RecurrentSpec& r = spec.recurrent;
  if (r.kernel < 1 || r.kernel > kConvTapsMax) {
    return Error::corrupt(
        fmt::format("a convolution of {} taps; expected 1 to {}", r.kernel, kConvTapsMax));
  }
  if (r.kind == RecurrentKind::kShortConv) return {};
  if (r.n_head == 0 || r.n_head > kHeadsMax || r.n_head_k == 0 || r.n_head % r.n_head_k != 0 ||
      r.d_k == 0 || r.d_k > kHeadMax || r.d_v == 0 || r.d_v > kHeadMax ||
      r.n_inner() * r.d_k > kStateValuesMax) {
    return Error::corrupt(
        fmt::format("{} recurrent heads of {} by {} with {} key heads make no sense", r.n_head,
                    r.d_k, r.d_v, r.n_head_k));
  }
  return {};
}

}  // namespace

Result<DecoderSpec> sizes_spec(const Config& config) {
  DecoderSpec spec;
  spec.architecture = config.architecture();
  MARU_TRY(n_layer, config.count("block_count"));
  if (n_layer == 0 || n_layer > kLayersMax) {
    return Error::corrupt(fmt::format("block_count is {}, expected 1 to {}", n_layer, kLayersMax));
  }
  MARU_TRY(d_model, config.count("embedding_length"));
  MARU_TRY(n_ctx, config.count("context_length"));
  MARU_TRY(n_vocab, vocabulary_size(config));
  if (d_model == 0) return Error::corrupt("embedding_length is 0");
  std::vector<size_t> d_ff(n_layer, 0);
  if (config.has("feed_forward_length")) {
    MARU_TRY(counts, config.counts("feed_forward_length", n_layer));
    d_ff = counts;
  }
  if (config.has("attention.layer_norm_epsilon")) {
    spec.norm = NormKind::kLayer;
    MARU_TRY(eps, config.number("attention.layer_norm_epsilon"));
    spec.norm_eps = eps;
  } else {
    MARU_TRY(eps, config.number("attention.layer_norm_rms_epsilon"));
    spec.norm_eps = eps;
  }
  spec.d_model = d_model, spec.n_vocab = n_vocab, spec.n_ctx_train = n_ctx;
  for (size_t i = 0; i < n_layer; ++i) spec.layers.push_back({.d_ff = d_ff[i]});
  return spec;
}

Result<DecoderSpec> common_spec(const Config& config, bool rope_interleaved) {
  MARU_TRY(spec, sizes_spec(config));
  MARU_TRY(n_head, config.count("attention.head_count"));
  if (n_head == 0) return Error::corrupt("attention.head_count is 0");
  MARU_TRY(d_k, config.count_or("attention.key_length", spec.d_model / n_head));
  MARU_TRY(d_v, config.count_or("attention.value_length", spec.d_model / n_head));
  std::vector<size_t> n_head_kv(spec.n_layer(), n_head);
  if (config.has("attention.head_count_kv")) {
    MARU_TRY(counts, config.counts("attention.head_count_kv", spec.n_layer()));
    n_head_kv = counts;
  }
  spec.n_head = n_head, spec.d_k = d_k, spec.d_v = d_v;
  for (size_t i = 0; i < spec.n_layer(); ++i) spec.layers[i].n_head_kv = n_head_kv[i];
  MARU_TRY_VOID(check_heads(spec));
  spec.attention_scale = 1.0f / std::sqrt(static_cast<float>(d_k));
  MARU_TRY(rope, rope_from_config(config, d_k, rope_interleaved));
  spec.ropes.push_back(std::move(rope));
  return spec;
}

Result<void> check_spec(const DecoderSpec& spec) {
  bool is_recurrent = false;
  for (size_t i = 0; i < spec.n_layer(); ++i) {
    const size_t n_kv = spec.layers[i].n_head_kv;
    const bool recurs = n_kv == 0 && spec.recurrent.kind != RecurrentKind::kNone;
    is_recurrent |= recurs;
    if (recurs || (n_kv > 0 && spec.n_head % n_kv == 0)) continue;
    return Error::corrupt(fmt::format("layer {}: {} query heads do not divide among {} KV heads", i,
                                      spec.n_head, n_kv));
  }
  if (spec.attention_gate && spec.d_k != spec.d_v) {
    return Error::corrupt(
        fmt::format("a gate of {} values for heads of {}: the key and value lengths differ",
                    spec.d_k, spec.d_v));
  }
  return is_recurrent ? check_recurrent(spec) : Result<void>();
}

Result<MoeSpec> moe_spec(const Config& config) {
  MoeSpec moe;
  MARU_TRY(n_expert, config.count_or("expert_count", 0));
  if (n_expert == 0) return moe;
  MARU_TRY(n_used, config.count("expert_used_count"));
  MARU_TRY(d_ff_dense, config.count_or("feed_forward_length", 0));
  MARU_TRY(d_ff, config.count_or("expert_feed_forward_length", d_ff_dense));
  MARU_TRY(n_shared, config.count_or("expert_shared_count", 0));
  MARU_TRY(d_shared, config.count_or("expert_shared_feed_forward_length", n_shared * d_ff));
  MARU_TRY(gating, config.count_or("expert_gating_func", 1));
  MARU_TRY(n_group, config.count_or("expert_group_count", 1));
  MARU_TRY(n_group_used, config.count_or("expert_group_used_count", n_group));
  MARU_TRY(normalize, config.flag_or("expert_weights_norm", false));
  MARU_TRY(scale, config.number_or("expert_weights_scale", 1.0f));
  if (n_used == 0 || n_used > n_expert || d_ff == 0) {
    return Error::corrupt(
        fmt::format("{} of {} experts with {} values make no sense", n_used, n_expert, d_ff));
  }
  if (n_group > 1) {
    if (n_expert % n_group != 0 || n_group_used == 0 || n_group_used > n_group ||
        n_used > n_expert / n_group * n_group_used) {
      return Error::corrupt(fmt::format("{} of {} experts from {} of {} groups make no sense",
                                        n_used, n_expert, n_group_used, n_group));
    }
    moe.n_group = n_group, moe.n_group_used = n_group_used;
  }
  moe.n_expert = n_expert, moe.n_used = n_used, moe.d_ff = d_ff, moe.d_ff_shared = d_shared;
  moe.gating = gating == 2 ? Gating::kSigmoid : Gating::kSoftmax;
  moe.normalize = normalize;
  moe.scale = scale == 0.0f ? 1.0f : scale;
  return moe;
}

void set_window_pattern(DecoderSpec& spec, size_t window, size_t period) {
  for (size_t i = 0; i < spec.n_layer(); ++i) {
    if ((i + 1) % period != 0) spec.layers[i].window = window;
  }
}

}  // namespace maru::model
