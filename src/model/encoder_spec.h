// model/encoder_spec.h - what a family file says about an encoder's layers: plain data that its
// loader and Encoder follow. Made by families/*.cc from a file's metadata, then immutable.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/config.h"
#include "model/pooling.h"
#include "model/rope.h"

namespace maru::model {

enum class EncoderFfn : uint8_t {
  kGelu,       // down(gelu(up)), gelu by the error function
  kSiluGated,  // down(silu(gate) * up)
};

struct EncoderSpec {
  std::string architecture;
  size_t n_layer = 0;
  size_t d_model = 0;
  size_t n_head = 0;
  size_t d_ff = 0;
  size_t n_vocab = 0;
  size_t n_ctx_train = 0;
  float norm_eps = 0;
  EncoderFfn ffn = EncoderFfn::kGelu;
  Pooling pooling = Pooling::kNone;
  bool learned_positions = false;  // position_embd.weight, one row per position
  std::optional<Rope> rope;

  size_t d_head() const { return d_model / n_head; }
};

// The keys that all encoders share.
Result<EncoderSpec> common_encoder_spec(const Config& config);

struct EncoderFamily {
  std::string_view architecture;  // general.architecture
  Result<EncoderSpec> (*spec)(const Config& config);
};
std::span<const EncoderFamily> encoder_families();

Result<EncoderSpec> bert_spec(const Config& config);
Result<EncoderSpec> nomic_bert_spec(const Config& config);

}  // namespace maru::model
