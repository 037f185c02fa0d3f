// model/spec.h - what a family file says about its layers: plain data that the weight loader and
// the decoder follow.
//
// Made by families/*.cc from a file's metadata, then immutable. The features are named after what
// they do, never after a family: a new family is one file that fills this in.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/config.h"
#include "model/rope.h"

namespace maru::model {

enum class NormKind : uint8_t { kRms, kLayer };

enum class FfnKind : uint8_t {
  kSiluGated,    // down(silu(gate) * up)
  kGeluGated,    // the tanh form of gelu
  kClampedSilu,  // gpt-oss: gate <= 7, |up| <= 7, gate * sigmoid(1.702 gate) * (up + 1)
  kGelu,         // down(gelu(up)), no gate
  kReluSquared,  // down(max(up, 0)^2), no gate
};
constexpr bool has_gate(FfnKind kind) { return kind <= FfnKind::kClampedSilu; }

enum class QkNorm : uint8_t {
  kNone,
  kPerHead,           // one weight for all heads or one for each, as the file has it; before rope
  kPerHeadAfterRope,  // the same, after it
  kWhole,             // over all heads of a token together, before rope
};

inline constexpr size_t kNoRope = SIZE_MAX;
inline constexpr size_t kHeadMax = 1024;  // values of one head

struct LayerSpec {
  size_t rope = 0;       // index of DecoderSpec::ropes, or kNoRope
  size_t window = 0;     // a token sees the last `window` positions, itself included; 0 = all
  size_t n_head_kv = 0;  // 0 = no attention in this layer, but DecoderSpec::recurrent
  size_t d_ff = 0;       // of the dense feed-forward
  bool experts = false;  // a mixture instead of the dense feed-forward
};

enum class Gating : uint8_t {
  kSoftmax,        // softmax over all experts, then the best
  kSoftmaxOfBest,  // the best by logit, then softmax over them
  kSigmoid,        // sigmoid of each
};

struct MoeSpec {
  size_t n_expert = 0;
  size_t n_used = 0;
  size_t d_ff = 0;         // of one expert
  size_t d_ff_shared = 0;  // of the expert that every token uses; 0 = none
  Gating gating = Gating::kSoftmax;
  // Only the best groups of neighbouring experts are chosen from: by the sum of their two best
  // (kSigmoid), else by their best.
  size_t n_group = 1;
  size_t n_group_used = 1;
  bool normalize = false;  // chosen weights are divided by their sum
  float scale = 1.0f;      // and then multiplied by this
};

// Latent attention: keys and values of all heads are one small vector per token. In the cache that
// is one KV head of d_k = d_latent + d_rope and d_v = d_latent; queries are brought into its space.
struct LatentSpec {
  size_t d_latent = 0;  // 0 = ordinary attention
  size_t d_rope = 0;    // the part of a query and key that is rotated, at its end
  size_t d_nope = 0;    // the part of a query that is not
  size_t d_value = 0;   // of one head, after its values were brought back
  size_t d_q = 0;       // queries pass through so many values; 0 = directly
};

// What stands in for attention in layers that keep a state of fixed size instead of keys and
// values.
enum class RecurrentKind : uint8_t {
  kNone,
  kShortConv,   // c * conv(b * x), with b, c and x from one projection: LFM2
  kStateSpace,  // convolution, then a matrix per head that decays: Mamba 2
  kDeltaNet,    // the same, with updates by the delta rule
};

// The state of a layer: the last inputs of a causal convolution and, but for kShortConv, a matrix
// [d_k, d_v] per head. kStateSpace calls its keys B, its queries C and its values x.
struct RecurrentSpec {
  RecurrentKind kind = RecurrentKind::kNone;
  size_t kernel = 0;         // taps of the convolution
  size_t n_head = 0;         // matrices
  size_t n_head_k = 0;       // heads of keys and queries, each serves n_head / n_head_k matrices
  size_t d_k = 0, d_v = 0;   // of one head
  bool heads_tiled = false;  // matrix h has keys h % n_head_k, else those of its run of matrices
  bool gates_by_key_head = false;  // one gate tensor: per key head its betas, then its alphas

  size_t n_inner() const { return n_head * d_v; }
  size_t n_keys() const { return n_head_k * d_k; }
  size_t key_head(size_t h) const { return heads_tiled ? h % n_head_k : h / (n_head / n_head_k); }
};

// GGUF names of the norms within a layer, without ".weight"; empty = the layer has none there.
struct NormNames {
  std::string attn_in = "attn_norm";
  std::string attn_out;  // on the attention's output, before the residual
  std::string ffn_in = "ffn_norm";
  std::string ffn_out;
  std::string final = "output_norm";  // after the last layer
};

struct DecoderSpec {
  std::string architecture;
  size_t d_model = 0;
  size_t n_head = 0;
  size_t d_k = 0;  // of one head's key and query
  size_t d_v = 0;
  size_t n_vocab = 0;
  size_t n_ctx_train = 0;

  NormKind norm = NormKind::kRms;
  float norm_eps = 1e-5f;
  NormNames norm_names;
  QkNorm qk_norm = QkNorm::kNone;
  FfnKind ffn = FfnKind::kSiluGated;
  bool has_ffn = true;             // false: a layer is its mixing of tokens alone
  bool parallel_residual = false;  // attention and feed-forward both read the same norm
  bool attention_gate = false;     // attn_q holds, per head, a query and a gate of its output

  float embedding_scale = 1.0f;
  float residual_scale = 1.0f;
  float attention_scale = 0.0f;    // of q k^T
  float attention_softcap = 0.0f;  // 0 = none
  float logit_scale = 1.0f;        // logits are multiplied by this
  float logit_softcap = 0.0f;

  std::vector<Rope> ropes;
  std::vector<LayerSpec> layers;
  MoeSpec moe;
  LatentSpec latent;
  RecurrentSpec recurrent;

  size_t n_layer() const { return layers.size(); }
  bool attends(size_t i) const { return layers[i].n_head_kv > 0; }
  // Inputs of a layer's convolution.
  size_t n_conv() const {
    const bool is_short = recurrent.kind == RecurrentKind::kShortConv;
    return is_short ? d_model : recurrent.n_inner() + 2 * recurrent.n_keys();
  }
};

// Sizes, norm epsilon and one LayerSpec per layer, without attention.
Result<DecoderSpec> sizes_spec(const Config& config);

// The keys that all families with attention share: sizes_spec(), heads, the first rope.
// attention_scale is 1/sqrt(d_k). Families change what differs.
Result<DecoderSpec> common_spec(const Config& config, bool rope_interleaved);

// What no family may leave wrong, whatever a file says. load_model() calls it last.
Result<void> check_spec(const DecoderSpec& spec);

// The expert keys that all families share; none where expert_count is absent or 0.
Result<MoeSpec> moe_spec(const Config& config);

// Where layer i is a full-attention layer every `period` layers (the last of each), the others get
// the window.
void set_window_pattern(DecoderSpec& spec, size_t window, size_t period);

}  // namespace maru::model
