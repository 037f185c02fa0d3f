// model/families/mamba2.cc - Mamba 2: no attention and no feed-forward, only state-space layers.
// Source: Dao & Gu 2024 (arXiv:2405.21060), section 7.
#include <fmt/format.h>

#include "model/families.h"

namespace maru::model {

Result<DecoderSpec> mamba2_spec(const Config& config) {
  MARU_TRY(spec, sizes_spec(config));
  MARU_TRY(kernel, config.count("ssm.conv_kernel"));
  MARU_TRY(n_inner, config.count("ssm.inner_size"));
  MARU_TRY(d_state, config.count("ssm.state_size"));
  MARU_TRY(n_head, config.count("ssm.time_step_rank"));
  MARU_TRY(n_group, config.count("ssm.group_count"));
  if (n_head == 0 || n_inner % n_head != 0) {
    return Error::corrupt(
        fmt::format("ssm.inner_size {} does not divide among {} heads", n_inner, n_head));
  }
  spec.has_ffn = false;
  spec.norm_names.ffn_in.clear();
  spec.recurrent = {.kind = RecurrentKind::kStateSpace,
                    .kernel = kernel,
                    .n_head = n_head,
                    .n_head_k = n_group,
                    .d_k = d_state,
                    .d_v = n_inner / n_head};
  return spec;
}

}  // namespace maru::model
