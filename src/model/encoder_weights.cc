#include "model/encoder_weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/packer.h"
#include "model/table_row.h"
#include "tensor/dequantize.h"

namespace maru::model {
namespace {

// Names and shapes, as GGUF files of the BERT kind have them.
class Loader {
 public:
  Loader(const EncoderSpec& spec, const Config& config)
      : spec_(spec), config_(config), packer_(config.file()) {}

  Result<EncoderWeights> load(const LoadOptions& options) {
    EncoderWeights weights;
    weights.file = &config_.file();
    weights.layers.resize(spec_.n_layer);  // the packer keeps pointers into it from here on
    MARU_TRY_VOID(read_embeddings(weights));
    for (size_t i = 0; i < spec_.n_layer; ++i) {
      MARU_TRY_VOID(read_layer(fmt::format("blk.{}.", i), weights.layers[i]));
    }
    MARU_TRY(arena, packer_.pack(options));
    weights.arena = std::move(arena);
    weights.n_params = packer_.n_params() + weights.tokens.n_elements();
    if (spec_.learned_positions) weights.n_params += weights.positions.n_elements();
    return weights;
  }

 private:
  // A table whose rows are read one at a time.
  Result<gguf::TensorView> table(std::string_view name, size_t n_rows_min) {
    MARU_TRY(view, config_.file().tensor(name));
    if (view.n_cols() != spec_.d_model || view.n_rows() < n_rows_min) {
      return Error::corrupt(fmt::format("tensor '{}' is [{}, {}], expected at least [{}, {}]", name,
                                        view.n_rows(), view.n_cols(), n_rows_min, spec_.d_model));
    }
    if (!tensor::can_dequantize(view.dtype)) {
      return Error::unsupported(
          fmt::format("tensor '{}' has type {}; accepted: float and quantized weights", name,
                      tensor::dtype_info(view.dtype).name));
    }
    return view;
  }

  Result<void> read_embeddings(EncoderWeights& weights) {
    MARU_TRY(tokens, table("token_embd.weight", spec_.n_vocab));
    weights.tokens = tokens;
    if (spec_.learned_positions) {
      MARU_TRY(positions, table("position_embd.weight", spec_.n_ctx_train));
      weights.positions = positions;
    }
    // A text alone is of the first type throughout; only pairs have a second.
    if (config_.file().find_tensor("token_types.weight") != nullptr) {
      MARU_TRY(types, table("token_types.weight", 1));
      const size_t n_types =
          spec_.pooling == Pooling::kRank ? std::min<size_t>(2, types.n_rows()) : 1;
      weights.types.resize(n_types * spec_.d_model);
      for (size_t i = 0; i < n_types; ++i) {
        read_table_row(config_.file(), types, i, weights.types.data() + i * spec_.d_model);
      }
    }
    if (spec_.pooling == Pooling::kRank) {
      MARU_TRY(head, RankHead::load(config_.file(), spec_.d_model));
      weights.rank_head = std::move(head);
    }
    return read_norm("token_embd_norm", weights.embedding_norm);
  }

  Result<void> read_layer(const std::string& blk, EncoderLayer& layer) {
    const size_t d = spec_.d_model;
    if (config_.file().find_tensor(blk + "attn_qkv.weight") != nullptr) {
      MARU_TRY_VOID(read_rows(blk + "attn_qkv", {0, d, 3 * d}, d, layer.q));
      MARU_TRY_VOID(read_rows(blk + "attn_qkv", {d, d, 3 * d}, d, layer.k));
      MARU_TRY_VOID(read_rows(blk + "attn_qkv", {2 * d, d, 3 * d}, d, layer.v));
    } else {
      MARU_TRY_VOID(read_matrix(blk + "attn_q", d, d, layer.q));
      MARU_TRY_VOID(read_matrix(blk + "attn_k", d, d, layer.k));
      MARU_TRY_VOID(read_matrix(blk + "attn_v", d, d, layer.v));
    }
    MARU_TRY_VOID(read_matrix(blk + "attn_output", d, d, layer.out));
    MARU_TRY_VOID(read_norm(blk + "attn_output_norm", layer.attn_norm));
    if (spec_.ffn == EncoderFfn::kSiluGated) {
      MARU_TRY_VOID(read_matrix(blk + "ffn_gate", spec_.d_ff, d, layer.ffn.gate));
    }
    MARU_TRY_VOID(read_matrix(blk + "ffn_up", spec_.d_ff, d, layer.ffn.up));
    MARU_TRY_VOID(read_matrix(blk + "ffn_down", d, spec_.d_ff, layer.ffn.down));
    return read_norm(blk + "layer_output_norm", layer.ffn_norm);
  }

  Result<void> read_matrix(const std::string& name, size_t n_rows, size_t n_cols, Matrix& out) {
    return read_rows(name, {0, n_rows, n_rows}, n_cols, out);
  }

  Result<void> read_rows(const std::string& name, RowRange rows, size_t n_cols, Matrix& out) {
    MARU_TRY_VOID(packer_.add(name + ".weight", rows, n_cols, out));
    MARU_TRY(bias, config_.optional_vector(name + ".bias", rows.n_rows_total));
    if (bias.empty()) return {};
    const auto first = bias.begin() + static_cast<ptrdiff_t>(rows.begin);
    out.bias.assign(first, first + static_cast<ptrdiff_t>(rows.n_rows));
    return {};
  }

  Result<void> read_norm(const std::string& name, NormWeights& out) {
    MARU_TRY(weight, config_.vector(name + ".weight", spec_.d_model));
    MARU_TRY(bias, config_.vector(name + ".bias", spec_.d_model));
    out = {std::move(weight), std::move(bias)};
    return {};
  }

  const EncoderSpec& spec_;
  const Config& config_;
  Packer packer_;
};

}  // namespace

Result<EncoderWeights> load_encoder_weights(const EncoderSpec& spec, const Config& config,
                                            const LoadOptions& options) {
  return Loader(spec, config).load(options);
}

}  // namespace maru::model
