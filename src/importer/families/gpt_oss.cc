// importer/families/gpt_oss.cc - gpt-oss: experts in MXFP4, which stays MXFP4, or in plain floats.
//
// The source keeps gate and up as every other row of one tensor; plain ones lie turned over.
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

void gpt_oss_metadata(Draft& draft) {
  decoder_metadata(draft);
  draft.u32("attention.sliding_window", draft.config.count({"sliding_window"}));
  draft.u32("expert_feed_forward_length", draft.config.count({"intermediate_size"}));
}

void misfit(Draft& draft, const NewTensor& tensor) {
  draft.fail(fmt::format("tensor '{}' has the shape {}", tensor.sources.front()->name,
                         tensor.sources.front()->shape_text()));
}

// Blocks [n_expert, n_rows, n_blocks, 16] beside scales [n_expert, n_rows, n_blocks]: every
// step-th row, from `first` on.
void blocks(Draft& draft, NewTensor& tensor, uint64_t first, uint64_t step) {
  const SourceTensor& source = *tensor.sources.front();
  constexpr std::string_view kSuffix = "_blocks";
  const std::string stem = source.name.substr(0, source.name.size() - kSuffix.size());
  const SourceTensor* scales = draft.weights.take(stem + "_scales");
  if (scales == nullptr) return draft.fail(fmt::format("the model lacks '{}_scales'", stem));
  const std::vector<size_t>& shape = source.shape;
  if (shape.size() != 4 || shape[3] != 16 || shape[1] % step != 0 ||
      scales->shape != std::vector<size_t>(shape.begin(), shape.end() - 1) ||
      source.type != SourceType::kU8 || scales->type != SourceType::kU8) {
    return misfit(draft, tensor);
  }
  tensor.sources.push_back(scales);
  tensor.scales = scales;
  tensor.dtype = tensor::DType::kMXFP4;
  const uint64_t n_rows = shape[1];
  const uint64_t row_bytes = shape[2] * 16;
  tensor.dims = {row_bytes * 2, n_rows / step, shape[0]};
  tensor.row = [&source, n_rows, row_bytes, first, step](uint64_t row) {
    const uint64_t per_expert = n_rows / step;
    const uint64_t from = row / per_expert * n_rows + row % per_expert * step + first;
    return RowRef{&source, from * row_bytes, 1};
  };
}
void gate_blocks(Draft& draft, NewTensor& tensor) { blocks(draft, tensor, 0, 2); }
void up_blocks(Draft& draft, NewTensor& tensor) { blocks(draft, tensor, 1, 2); }
void down_blocks(Draft& draft, NewTensor& tensor) { blocks(draft, tensor, 0, 1); }

// [n_expert, n_in, n_out]: every step-th column of each matrix becomes a row.
void turned(Draft& draft, NewTensor& tensor, uint64_t first, uint64_t step) {
  const SourceTensor& source = *tensor.sources.front();
  if (source.shape.size() != 3 || source.shape[2] % step != 0) return misfit(draft, tensor);
  const uint64_t n_in = source.shape[1];
  const uint64_t n_out = source.shape[2];
  tensor.dims = {n_in, n_out / step, source.shape[0]};
  tensor.row = [&source, n_in, n_out, first, step](uint64_t row) {
    const uint64_t per_expert = n_out / step;
    const uint64_t from = row / per_expert * n_in * n_out + row % per_expert * step + first;
    return RowRef{&source, from, n_out};
  };
}
void gate_turned(Draft& draft, NewTensor& tensor) { turned(draft, tensor, 0, 2); }
void up_turned(Draft& draft, NewTensor& tensor) { turned(draft, tensor, 1, 2); }
void down_turned(Draft& draft, NewTensor& tensor) { turned(draft, tensor, 0, 1); }

// [n_expert, 2 * d_ff]: every other value.
void every_other(Draft& draft, NewTensor& tensor, uint64_t first) {
  const SourceTensor& source = *tensor.sources.front();
  if (source.shape.size() != 2 || source.shape[1] % 2 != 0) return misfit(draft, tensor);
  const uint64_t n = source.shape[1];
  tensor.dims[0] = n / 2;
  tensor.row = [&source, n, first](uint64_t row) { return RowRef{&source, row * n + first, 2}; };
}
void gate_bias(Draft& draft, NewTensor& tensor) { every_other(draft, tensor, 0); }
void up_bias(Draft& draft, NewTensor& tensor) { every_other(draft, tensor, 1); }

constexpr Rule kRules[] = {
    {"attn_norm", "input_layernorm", norm},
    {"post_attention_norm", "post_attention_layernorm", norm},
    {"attn_sinks.weight", "self_attn.sinks", nullptr, kExact},
    {"ffn_gate_inp", "mlp.router"},
    {"ffn_gate_exps.weight", "mlp.experts.gate_up_proj_blocks", gate_blocks, kExact},
    {"ffn_gate_exps.weight", "mlp.experts.gate_up_proj", gate_turned, kExact},
    {"ffn_gate_exps.bias", "mlp.experts.gate_up_proj_bias", gate_bias, kExact},
    {"ffn_up_exps.weight", "mlp.experts.gate_up_proj_blocks", up_blocks, kExact},
    {"ffn_up_exps.weight", "mlp.experts.gate_up_proj", up_turned, kExact},
    {"ffn_up_exps.bias", "mlp.experts.gate_up_proj_bias", up_bias, kExact},
    {"ffn_down_exps.weight", "mlp.experts.down_proj_blocks", down_blocks, kExact},
    {"ffn_down_exps.weight", "mlp.experts.down_proj", down_turned, kExact},
    {"ffn_down_exps.bias", "mlp.experts.down_proj_bias", nullptr, kExact}};

}  // namespace

constinit const Family kGptOss = {.model_types = {"gpt_oss"},
                                  .architecture = "gpt-oss",
                                  .metadata = gpt_oss_metadata,
                                  .ends = kDecoderEnds,
                                  .layer = {kRules, kAttentionRules},
                                  .kind = all_experts};

}  // namespace maru::importer
