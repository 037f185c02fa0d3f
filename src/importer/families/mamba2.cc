// importer/families/mamba2.cc - Mamba 2: state spaces only.
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

constexpr uint64_t kContext = 1 << 20;  // there is no limit of its own

uint64_t inner_size(Draft& draft) {
  HfConfig& config = draft.config;
  return config.count_or({"intermediate_size", "d_inner"},
                         config.count_or({"expand"}, 2) * config.count({"hidden_size", "d_model"}));
}

void mamba2_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  sizes_metadata(draft);
  const uint64_t n_inner = inner_size(draft);
  const uint64_t d_head = config.count_or({"head_dim"}, 64);
  if (d_head == 0 || n_inner % d_head != 0) {
    return draft.fail(
        fmt::format("config.json: {} values do not divide among heads of {}", n_inner, d_head));
  }
  draft.u32("context_length", kContext);
  draft.u32("feed_forward_length", 0);
  draft.u32("attention.head_count", 0);
  draft.u32("ssm.conv_kernel", config.count_or({"conv_kernel", "d_conv"}, 4));
  draft.u32("ssm.inner_size", n_inner);
  draft.u32("ssm.state_size", config.count_or({"state_size", "d_state"}, 128));
  draft.u32("ssm.time_step_rank", n_inner / d_head);
  draft.u32("ssm.group_count", config.count_or({"n_groups"}, 1));
  draft.f32("attention.layer_norm_rms_epsilon",
            config.number_or({"layer_norm_epsilon", "rms_norm_eps"}, 1e-5));
}

Flags kind(Draft&, size_t) { return kRecurrent; }

void decay(Draft& draft, NewTensor& tensor) {
  one_each(draft, tensor);
  minus_exp(draft, tensor);
}

// One row for each group.
void grouped(Draft& draft, NewTensor& tensor) {
  const uint64_t n_group = draft.config.count_or({"n_groups"}, 1);
  const uint64_t n = tensor.n_cols();
  if (n_group == 0 || n % n_group != 0) {
    return draft.fail(fmt::format("tensor '{}' has {} values, which do not divide among {} groups",
                                  tensor.sources.front()->name, n, n_group));
  }
  tensor.dims = {n / n_group, n_group};
  tensor.row = [source = tensor.sources.front(), n_cols = n / n_group](uint64_t row) {
    return RowRef{source, row * n_cols, 1};
  };
}

constexpr Rule kEnds[] = {{"token_embd", "embeddings"},
                          {"output_norm", "norm_f"},
                          {"output", "/lm_head", nullptr, kOptional}};
constexpr Rule kRules[] = {{"attn_norm", "norm"},
                           {"ssm_in", "mixer.in_proj"},
                           {"ssm_conv1d", "mixer.conv1d", squeeze},
                           {"ssm_dt.bias", "mixer.dt_bias", nullptr, kExact},
                           {"ssm_a", "mixer.A_log", decay, kExact},
                           {"ssm_d", "mixer.D", one_each, kExact},
                           {"ssm_norm", "mixer.norm", grouped},
                           {"ssm_out", "mixer.out_proj"}};

}  // namespace

constinit const Family kMamba2 = {.model_types = {"mamba2"},
                                  .architecture = "mamba2",
                                  .metadata = mamba2_metadata,
                                  .ends = kEnds,
                                  .layer = {kRules},
                                  .kind = kind};

}  // namespace maru::importer
