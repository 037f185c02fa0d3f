// importer/families/qwen_hybrid.cc - Qwen3-Next and Qwen 3.5: layers of a gated delta net among
// those of attention.
//
// GGUF keeps q, k, v and the gate of the delta net apart where Qwen3-Next's source keeps the rows
// of one key head together; and its files of Qwen 3.5 have the value heads in another order: the
// first of every key head, then the second of every key head, and so on ("tiled").
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

struct DeltaNet {
  uint64_t n_k = 1, n_v = 1;  // heads
  uint64_t d_k = 1, d_v = 1;  // values of a head
  uint64_t n_v_per_k() const { return n_v / n_k; }
};

DeltaNet delta_net(Draft& draft) {
  HfConfig& config = draft.config;
  const DeltaNet net = {
      config.count({"linear_num_key_heads"}), config.count({"linear_num_value_heads"}),
      config.count({"linear_key_head_dim"}), config.count({"linear_value_head_dim"})};
  constexpr uint64_t kHeadMax = 4096;
  if (net.n_k == 0 || net.n_k > kHeadsMax || net.n_v == 0 || net.n_v > kHeadsMax ||
      net.n_v % net.n_k != 0 || net.d_k == 0 || net.d_k > kHeadMax || net.d_v == 0 ||
      net.d_v > kHeadMax) {
    draft.fail(fmt::format("config.json: {} key heads of {} and {} value heads of {} make no sense",
                           net.n_k, net.d_k, net.n_v, net.d_v));
    return {};
  }
  return net;
}

// Rows [first, first + n_v * d) of value heads of d rows, tiled.
std::vector<uint32_t> tiled(const DeltaNet& net, uint64_t first, uint64_t d) {
  std::vector<uint32_t> order;
  for (uint64_t r = 0; r < net.n_v_per_k(); ++r) {
    for (uint64_t k = 0; k < net.n_k; ++k) {
      for (uint64_t i = 0; i < d; ++i) {
        order.push_back(static_cast<uint32_t>(first + (k * net.n_v_per_k() + r) * d + i));
      }
    }
  }
  return order;
}

// q and k as they are, v tiled: the rows of the projection and the channels of the convolution.
std::vector<uint32_t> qkv_tiled(const DeltaNet& net) {
  const uint64_t n_qk = 2 * net.n_k * net.d_k;
  std::vector<uint32_t> order = row_range(0, n_qk);
  const std::vector<uint32_t> v = tiled(net, n_qk, net.d_v);
  order.insert(order.end(), v.begin(), v.end());
  return order;
}

void qkv(Draft& draft, NewTensor& tensor) { take_rows(draft, tensor, qkv_tiled(delta_net(draft))); }
void value_rows(Draft& draft, NewTensor& tensor) {
  const DeltaNet net = delta_net(draft);
  take_rows(draft, tensor, tiled(net, 0, net.d_v));
}
void value_heads(Draft& draft, NewTensor& tensor) {
  take_rows(draft, tensor, tiled(delta_net(draft), 0, 1));
}
void decay(Draft& draft, NewTensor& tensor) {
  value_heads(draft, tensor);
  minus_exp(draft, tensor);
}
void value_columns(Draft& draft, NewTensor& tensor) {
  const DeltaNet net = delta_net(draft);
  tensor.columns = tiled(net, 0, net.d_v);
  tensor.n_source_cols = tensor.columns.size();
  if (tensor.columns.size() != tensor.n_cols()) {
    draft.fail(fmt::format("tensor '{}' has rows of {}, expected {}", tensor.sources.front()->name,
                           tensor.n_cols(), tensor.columns.size()));
  }
}
void conv_tiled(Draft& draft, NewTensor& tensor) {
  squeeze(draft, tensor);
  const std::vector<uint32_t> order = qkv_tiled(delta_net(draft));
  if (tensor.dims.size() != 2 || tensor.dims[1] != order.size()) {
    return draft.fail(fmt::format("tensor '{}' of shape {} does not have {} channels",
                                  tensor.sources.front()->name,
                                  tensor.sources.front()->shape_text(), order.size()));
  }
  tensor.row = [source = tensor.sources.front(), order, n_cols = tensor.n_cols()](uint64_t row) {
    return RowRef{source, order[row] * n_cols, 1};
  };
}

// Of each key head's rows [q, k, v of its value heads, gate of its value heads]: the part that
// begins after n_before and has n rows.
std::vector<uint32_t> part_of_each(const DeltaNet& net, uint64_t n_before, uint64_t n) {
  const uint64_t n_group = 2 * net.d_k + 2 * net.n_v_per_k() * net.d_v;
  std::vector<uint32_t> order;
  for (uint64_t k = 0; k < net.n_k; ++k) {
    for (uint64_t i = 0; i < n; ++i) {
      order.push_back(static_cast<uint32_t>(k * n_group + n_before + i));
    }
  }
  return order;
}

void qkv_of_groups(Draft& draft, NewTensor& tensor) {
  const DeltaNet net = delta_net(draft);
  const uint64_t n_v = net.n_v_per_k() * net.d_v;
  std::vector<uint32_t> order = part_of_each(net, 0, net.d_k);
  for (const auto& part :
       {part_of_each(net, net.d_k, net.d_k), part_of_each(net, 2 * net.d_k, n_v)}) {
    order.insert(order.end(), part.begin(), part.end());
  }
  take_rows(draft, tensor, order);
}
void gate_of_groups(Draft& draft, NewTensor& tensor) {
  const DeltaNet net = delta_net(draft);
  const uint64_t n_v = net.n_v_per_k() * net.d_v;
  take_rows(draft, tensor, part_of_each(net, 2 * net.d_k + n_v, n_v));
}

std::vector<bool> recurrent_layers(Draft& draft) {
  std::vector<bool> recurs;
  for (const std::string& type : draft.config.texts("layer_types")) {
    recurs.push_back(type == "linear_attention");
  }
  const uint64_t interval = draft.config.count_or({"full_attention_interval"}, 4);
  for (uint64_t i = recurs.size(); i < draft.n_layer; ++i) {
    recurs.push_back(interval == 0 || (i + 1) % interval != 0);
  }
  recurs.resize(draft.n_layer);
  return recurs;
}

void hybrid_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  config.set_default("partial_rotary_factor", 0.25);
  decoder_metadata(draft);
  const DeltaNet net = delta_net(draft);
  draft.u32("ssm.conv_kernel", config.count({"linear_conv_kernel_dim"}));
  draft.u32("ssm.state_size", net.d_k);
  draft.u32("ssm.group_count", net.n_k);
  draft.u32("ssm.time_step_rank", net.n_v);
  draft.u32("ssm.inner_size", net.d_v * net.n_v);
  draft.flags("attention.recurrent_layers", recurrent_layers(draft));
  draft.u32("full_attention_interval", config.count_or({"full_attention_interval"}, 4));
}

void next_metadata(Draft& draft) {
  hybrid_metadata(draft);
  draft.u32("expert_feed_forward_length", draft.config.count({"moe_intermediate_size"}));
  draft.u32("expert_shared_feed_forward_length",
            draft.config.count({"shared_expert_intermediate_size"}));
}

// Positions of pictures have four parts, those of text one: how many pairs of a head turn by each.
void qwen35_metadata(Draft& draft) {
  hybrid_metadata(draft);
  std::vector<int32_t> sections;
  for (const double n : draft.config.rope().numbers("mrope_section")) {
    if (sections.size() < 4) sections.push_back(static_cast<int32_t>(n));
  }
  if (sections.empty()) sections = {11, 11, 10};
  sections.resize(4);
  draft.i32s("rope.dimension_sections", sections);
}

Flags kind(Draft& draft, size_t layer, Flags ffn) {
  return ffn | (recurrent_layers(draft)[layer] ? kRecurrent : kAttention);
}
Flags next_kind(Draft& draft, size_t layer) { return kind(draft, layer, kExperts); }
Flags qwen35_kind(Draft& draft, size_t layer) { return kind(draft, layer, kDense); }

constexpr Rule kNorms[] = {{"attn_norm", "input_layernorm", norm},
                           {"post_attention_norm", "post_attention_layernorm", norm}};
constexpr Rule kNextRules[] = {
    {"attn_qkv", "linear_attn.in_proj_qkvz", qkv_of_groups, kRecurrent},
    {"attn_gate", "linear_attn.in_proj_qkvz", gate_of_groups, kRecurrent},
    {"ssm_ba", "linear_attn.in_proj_ba", nullptr, kRecurrent},
    {"ssm_conv1d", "linear_attn.conv1d", squeeze, kRecurrent},
    {"ssm_a", "linear_attn.A_log", minus_exp, kRecurrent | kExact},
    {"ssm_dt.bias", "linear_attn.dt_bias", nullptr, kRecurrent | kExact},
    {"ssm_norm", "linear_attn.norm", nullptr, kRecurrent},
    {"ssm_out", "linear_attn.out_proj", nullptr, kRecurrent}};
constexpr Rule kQwen35Rules[] = {
    {"attn_qkv", "linear_attn.in_proj_qkv", qkv, kRecurrent},
    {"attn_gate", "linear_attn.in_proj_z", value_rows, kRecurrent},
    {"ssm_beta", "linear_attn.in_proj_b", value_heads, kRecurrent},
    {"ssm_alpha", "linear_attn.in_proj_a", value_heads, kRecurrent},
    {"ssm_conv1d", "linear_attn.conv1d", conv_tiled, kRecurrent},
    {"ssm_a", "linear_attn.A_log", decay, kRecurrent | kExact},
    {"ssm_dt.bias", "linear_attn.dt_bias", value_heads, kRecurrent | kExact},
    {"ssm_norm", "linear_attn.norm", nullptr, kRecurrent},
    {"ssm_out", "linear_attn.out_proj", value_columns, kRecurrent}};
}  // namespace

constinit const Family kQwen3Next = {.model_types = {"qwen3_next"},
                                     .architecture = "qwen3next",
                                     .metadata = next_metadata,
                                     .ends = kDecoderEnds,
                                     .layer = {kNorms, kAttentionRules, kHeadNormRules, kNextRules,
                                               kExpertRules, kSharedExpertRules},
                                     .kind = next_kind,
                                     .norms_plus_one = true};

constinit const Family kQwen35 = {
    .model_types = {"qwen3_5_text", "qwen3_5"},
    .architecture = "qwen35",
    .metadata = qwen35_metadata,
    .ends = kDecoderEnds,
    .layer = {kNorms, kAttentionRules, kHeadNormRules, kQwen35Rules, kGatedRules},
    .kind = qwen35_kind,
    .norms_plus_one = true};

}  // namespace maru::importer
