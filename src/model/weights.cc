#include "model/weights.h"

#include <fmt/format.h>

#include "model/packer.h"
#include "tensor/dequantize.h"

namespace maru::model {
namespace {

// Names and shapes of one file's tensors, as GGUF files of every family have them.
class Loader {
 public:
  Loader(const DecoderSpec& spec, const Config& config)
      : spec_(spec), config_(config), packer_(config.file()) {}

  Result<DecoderWeights> load(const LoadOptions& options) {
    DecoderWeights weights;
    weights.file = &config_.file();
    weights.layers.resize(spec_.n_layer());  // the packer keeps pointers into it from here on
    MARU_TRY_VOID(read_ends(weights, options));
    for (size_t i = 0; i < spec_.n_layer(); ++i) {
      MARU_TRY_VOID(read_layer(i, weights.layers[i]));
    }
    MARU_TRY(arena, packer_.pack(options));
    weights.arena = std::move(arena);
    weights.n_params = packer_.n_params();
    if (has("output.weight")) weights.n_params += weights.embeddings.n_elements();
    return weights;
  }

 private:
  bool has(std::string_view tensor) const { return config_.file().find_tensor(tensor) != nullptr; }

  Result<void> read_matrix(const std::string& name, size_t n_rows, size_t n_cols, Matrix& out) {
    return read_rows(name, {0, n_rows, n_rows}, n_cols, out);
  }

  Result<void> read_rows(const std::string& name, RowRange rows, size_t n_cols, Matrix& out) {
    MARU_TRY_VOID(packer_.add(name + ".weight", rows, n_cols, out));
    MARU_TRY(bias, config_.optional_vector(name + ".bias", rows.n_rows_total));
    if (!bias.empty()) {
      const auto first = bias.begin() + static_cast<ptrdiff_t>(rows.begin);
      out.bias.assign(first, first + static_cast<ptrdiff_t>(rows.n_rows));
    }
    return {};
  }

  Result<void> read_norm(const std::string& name, size_t n, NormWeights& out) {
    MARU_TRY(weight, config_.vector(name + ".weight", n));
    MARU_TRY(bias, config_.optional_vector(name + ".bias", n));
    out = {std::move(weight), std::move(bias)};
    return {};
  }

  Result<void> read_ends(DecoderWeights& weights, const LoadOptions& options) {
    MARU_TRY(embeddings, config_.file().tensor("token_embd.weight"));
    weights.embeddings = embeddings;
    if (embeddings.n_cols() != spec_.d_model) {
      return Error::corrupt(fmt::format("tensor 'token_embd.weight' has rows of {}, expected {}",
                                        embeddings.n_cols(), spec_.d_model));
    }
    if (!tensor::can_dequantize(embeddings.dtype)) {
      return Error::unsupported(
          fmt::format("tensor 'token_embd.weight' has type {}; accepted: float and quantized "
                      "weights",
                      tensor::dtype_info(embeddings.dtype).name));
    }
    MARU_TRY_VOID(read_norm(spec_.norm_names.final, spec_.d_model, weights.final_norm));
    const bool tied = !has("output.weight");
    MARU_TRY_VOID(
        read_matrix(tied ? "token_embd" : "output", spec_.n_vocab, spec_.d_model, weights.output));
    if (!options.output_planes || !is_bounded(weights.output)) return {};
    packer_.keep_in_planes(weights.planes.emplace());
    return {};
  }

  // Whether bounds of its products are bounds of logits.
  bool is_bounded(const Matrix& output) const {
    return output.packed.dtype == tensor::DType::kQ8_0 && output.bias.empty() &&
           spec_.logit_scale == 1.0f && spec_.logit_softcap == 0.0f;
  }

  Result<void> read_layer(size_t i, LayerWeights& layer) {
    const std::string blk = fmt::format("blk.{}.", i);
    const NormNames& names = spec_.norm_names;
    const std::pair<const std::string&, NormWeights&> norms[] = {{names.attn_in, layer.attn_in},
                                                                 {names.attn_out, layer.attn_out},
                                                                 {names.ffn_in, layer.ffn_in},
                                                                 {names.ffn_out, layer.ffn_out}};
    for (const auto& [name, norm] : norms) {
      if (!name.empty()) MARU_TRY_VOID(read_norm(blk + name, spec_.d_model, norm));
    }
    if (!spec_.attends(i)) {
      MARU_TRY_VOID(read_recurrent(blk, layer));
    } else if (spec_.latent.d_latent > 0) {
      MARU_TRY_VOID(read_latent_attention(blk, layer));
    } else {
      MARU_TRY_VOID(read_attention(blk, spec_.layers[i].n_head_kv, layer));
    }
    if (!spec_.has_ffn) return {};
    if (spec_.layers[i].experts) return read_experts(blk, layer);
    return read_ffn(blk, spec_.layers[i].d_ff, layer.ffn);
  }

  Result<void> read_attention(const std::string& blk, size_t n_head_kv, LayerWeights& layer) {
    const size_t n_q = spec_.n_head * spec_.d_k * (spec_.attention_gate ? 2 : 1);
    const size_t n_k = n_head_kv * spec_.d_k;
    const size_t n_v = n_head_kv * spec_.d_v;
    if (has(blk + "attn_qkv.weight")) {
      const std::string name = blk + "attn_qkv";
      const size_t n_all = n_q + n_k + n_v;
      MARU_TRY_VOID(read_rows(name, {0, n_q, n_all}, spec_.d_model, layer.q));
      MARU_TRY_VOID(read_rows(name, {n_q, n_k, n_all}, spec_.d_model, layer.k));
      MARU_TRY_VOID(read_rows(name, {n_q + n_k, n_v, n_all}, spec_.d_model, layer.v));
    } else {
      MARU_TRY_VOID(read_matrix(blk + "attn_q", n_q, spec_.d_model, layer.q));
      MARU_TRY_VOID(read_matrix(blk + "attn_k", n_k, spec_.d_model, layer.k));
      MARU_TRY_VOID(read_matrix(blk + "attn_v", n_v, spec_.d_model, layer.v));
    }
    const size_t n_attn = spec_.n_head * spec_.d_v;
    MARU_TRY_VOID(read_matrix(blk + "attn_output", spec_.d_model, n_attn, layer.out));
    if (spec_.qk_norm != QkNorm::kNone) {
      MARU_TRY_VOID(read_head_norm(blk + "attn_q_norm", spec_.n_head, layer.q_norm));
      MARU_TRY_VOID(read_head_norm(blk + "attn_k_norm", n_head_kv, layer.k_norm));
    }
    MARU_TRY(sinks, config_.optional_vector(blk + "attn_sinks.weight", spec_.n_head));
    layer.sinks = std::move(sinks);
    return {};
  }

  // One weight for all heads, or one for each where the tensor has as many.
  Result<void> read_head_norm(const std::string& name, size_t n_head, NormWeights& out) {
    MARU_TRY(tensor, config_.file().tensor(name + ".weight"));
    const size_t n_all = n_head * spec_.d_k;
    const bool all = spec_.qk_norm == QkNorm::kWhole || tensor.n_elements() == n_all;
    return read_norm(name, all ? n_all : spec_.d_k, out);
  }

  Result<void> read_latent_attention(const std::string& blk, LayerWeights& layer) {
    const LatentSpec& mla = spec_.latent;
    const size_t n_q = spec_.n_head * (mla.d_nope + mla.d_rope);
    if (mla.d_q > 0) {
      MARU_TRY_VOID(read_matrix(blk + "attn_q_a", mla.d_q, spec_.d_model, layer.q_a));
      MARU_TRY_VOID(read_norm(blk + "attn_q_a_norm", mla.d_q, layer.q_a_norm));
      MARU_TRY_VOID(read_matrix(blk + "attn_q_b", n_q, mla.d_q, layer.q));
    } else {
      MARU_TRY_VOID(read_matrix(blk + "attn_q", n_q, spec_.d_model, layer.q));
    }
    const size_t n_kv = mla.d_latent + mla.d_rope;
    MARU_TRY_VOID(read_matrix(blk + "attn_kv_a_mqa", n_kv, spec_.d_model, layer.kv_a));
    MARU_TRY_VOID(read_norm(blk + "attn_kv_a_norm", mla.d_latent, layer.kv_a_norm));
    layer.to_latent.resize(spec_.n_head);
    layer.from_latent.resize(spec_.n_head);
    for (size_t h = 0; h < spec_.n_head; ++h) {
      const RowRange k = {h * mla.d_latent, mla.d_latent, spec_.n_head * mla.d_latent};
      const RowRange v = {h * mla.d_value, mla.d_value, spec_.n_head * mla.d_value};
      MARU_TRY_VOID(packer_.add(blk + "attn_k_b.weight", k, mla.d_nope, layer.to_latent[h], true));
      MARU_TRY_VOID(
          packer_.add(blk + "attn_v_b.weight", v, mla.d_latent, layer.from_latent[h], true));
    }
    return read_matrix(blk + "attn_output", spec_.d_model, spec_.n_head * mla.d_value, layer.out);
  }

  // Taps lie by channel in the file.
  Result<void> read_conv(const std::string& name, RecurrentWeights& weights) {
    const size_t kernel = spec_.recurrent.kernel;
    const size_t n_conv = spec_.n_conv();
    MARU_TRY(taps, config_.vector(name + ".weight", kernel * n_conv));
    MARU_TRY(bias, config_.optional_vector(name + ".bias", n_conv));
    weights.conv.resize(taps.size());
    for (size_t c = 0; c < n_conv; ++c) {
      for (size_t tap = 0; tap < kernel; ++tap) {
        weights.conv[tap * n_conv + c] = taps[c * kernel + tap];
      }
    }
    weights.conv_bias = std::move(bias);
    return {};
  }

  Result<void> read_recurrent(const std::string& blk, LayerWeights& layer) {
    const RecurrentSpec& r = spec_.recurrent;
    RecurrentWeights& weights = layer.recurrent;
    const size_t d_model = spec_.d_model;
    if (r.kind == RecurrentKind::kShortConv) {
      MARU_TRY_VOID(read_matrix(blk + "shortconv.in_proj", 3 * d_model, d_model, weights.in));
      MARU_TRY_VOID(read_conv(blk + "shortconv.conv", weights));
      return read_matrix(blk + "shortconv.out_proj", d_model, d_model, layer.out);
    }
    if (r.kind == RecurrentKind::kStateSpace) {
      MARU_TRY_VOID(read_state_space(blk, weights));
    } else {
      MARU_TRY_VOID(read_delta_net(blk, weights));
    }
    MARU_TRY_VOID(read_conv(blk + "ssm_conv1d", weights));
    MARU_TRY(decay, config_.vector(blk + "ssm_a", r.n_head));
    MARU_TRY(dt_bias, config_.vector(blk + "ssm_dt.bias", r.n_head));
    weights.decay = std::move(decay);
    weights.dt_bias = std::move(dt_bias);
    return read_matrix(blk + "ssm_out", d_model, r.n_inner(), layer.out);
  }

  Result<void> read_state_space(const std::string& blk, RecurrentWeights& weights) {
    const size_t n_inner = spec_.recurrent.n_inner();
    const size_t n_conv = spec_.n_conv();
    const size_t n_head = spec_.recurrent.n_head;
    const size_t n_all = n_inner + n_conv + n_head;
    const std::string in = blk + "ssm_in";
    MARU_TRY_VOID(read_rows(in, {0, n_inner, n_all}, spec_.d_model, weights.z));
    MARU_TRY_VOID(read_rows(in, {n_inner, n_conv, n_all}, spec_.d_model, weights.in));
    MARU_TRY_VOID(read_rows(in, {n_inner + n_conv, n_head, n_all}, spec_.d_model, weights.alpha));
    MARU_TRY(skip, config_.vector(blk + "ssm_d", n_head));
    MARU_TRY(norm, config_.vector(blk + "ssm_norm.weight", n_inner));
    weights.skip = std::move(skip);
    weights.norm = std::move(norm);
    return {};
  }

  Result<void> read_delta_net(const std::string& blk, RecurrentWeights& weights) {
    const RecurrentSpec& r = spec_.recurrent;
    MARU_TRY_VOID(read_matrix(blk + "attn_qkv", spec_.n_conv(), spec_.d_model, weights.in));
    MARU_TRY_VOID(read_matrix(blk + "attn_gate", r.n_inner(), spec_.d_model, weights.z));
    if (r.gates_by_key_head) {
      MARU_TRY_VOID(read_matrix(blk + "ssm_ba", 2 * r.n_head, spec_.d_model, weights.alpha));
    } else {
      MARU_TRY_VOID(read_matrix(blk + "ssm_alpha", r.n_head, spec_.d_model, weights.alpha));
      MARU_TRY_VOID(read_matrix(blk + "ssm_beta", r.n_head, spec_.d_model, weights.beta));
    }
    MARU_TRY(norm, config_.vector(blk + "ssm_norm.weight", r.d_v));
    weights.norm = std::move(norm);
    return {};
  }

  Result<void> read_ffn(const std::string& blk, size_t d_ff, Ffn& ffn) {
    if (d_ff == 0) return Error::corrupt("feed_forward_length is missing or 0");
    const std::string up = blk + "ffn_up";
    if (has_gate(spec_.ffn) && !has(blk + "ffn_gate.weight")) {  // gate and up in one tensor
      MARU_TRY_VOID(read_rows(up, {0, d_ff, 2 * d_ff}, spec_.d_model, ffn.gate));
      MARU_TRY_VOID(read_rows(up, {d_ff, d_ff, 2 * d_ff}, spec_.d_model, ffn.up));
    } else {
      if (has_gate(spec_.ffn)) {
        MARU_TRY_VOID(read_matrix(blk + "ffn_gate", d_ff, spec_.d_model, ffn.gate));
      }
      MARU_TRY_VOID(read_matrix(up, d_ff, spec_.d_model, ffn.up));
    }
    return read_matrix(blk + "ffn_down", spec_.d_model, d_ff, ffn.down);
  }

  Result<void> read_experts(const std::string& blk, LayerWeights& layer) {
    const MoeSpec& moe = spec_.moe;
    MARU_TRY_VOID(read_matrix(blk + "ffn_gate_inp", moe.n_expert, spec_.d_model, layer.router));
    MARU_TRY(bias, config_.optional_vector(blk + "exp_probs_b.bias", moe.n_expert));
    layer.selection_bias = std::move(bias);
    const bool shared = moe.d_ff_shared > 0;
    layer.experts.resize(moe.n_expert + (shared ? 1 : 0));
    const size_t n_up = moe.n_expert * moe.d_ff;
    const size_t n_down = moe.n_expert * spec_.d_model;
    for (size_t e = 0; e < moe.n_expert; ++e) {
      Ffn& ffn = layer.experts[e];
      const RowRange up = {e * moe.d_ff, moe.d_ff, n_up};
      MARU_TRY_VOID(read_rows(blk + "ffn_gate_exps", up, spec_.d_model, ffn.gate));
      MARU_TRY_VOID(read_rows(blk + "ffn_up_exps", up, spec_.d_model, ffn.up));
      MARU_TRY_VOID(read_rows(blk + "ffn_down_exps", {e * spec_.d_model, spec_.d_model, n_down},
                              moe.d_ff, ffn.down));
    }
    if (!shared) return {};
    Ffn& ffn = layer.experts.back();
    const size_t d_shared = moe.d_ff_shared;
    MARU_TRY_VOID(read_matrix(blk + "ffn_gate_shexp", d_shared, spec_.d_model, ffn.gate));
    MARU_TRY_VOID(read_matrix(blk + "ffn_up_shexp", d_shared, spec_.d_model, ffn.up));
    MARU_TRY_VOID(read_matrix(blk + "ffn_down_shexp", spec_.d_model, d_shared, ffn.down));
    MARU_TRY(gate, config_.optional_vector(blk + "ffn_gate_inp_shexp.weight", spec_.d_model));
    layer.shared_gate = std::move(gate);
    return {};
  }

  const DecoderSpec& spec_;
  const Config& config_;
  Packer packer_;
};

}  // namespace

Result<DecoderWeights> load_weights(const DecoderSpec& spec, const Config& config,
                                    const LoadOptions& options) {
  return Loader(spec, config).load(options);
}

}  // namespace maru::model
