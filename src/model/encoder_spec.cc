#include "model/encoder_spec.h"

#include <fmt/format.h>

#include "model/spec.h"

namespace maru::model {
namespace {

constexpr size_t kLayersMax = 1024;
// Its vectors of one text are in memory at once.
constexpr size_t kEncoderContextMax = 1 << 17;

constexpr EncoderFamily kEncoderFamilies[] = {
    {"bert", bert_spec},
    {"nomic-bert", nomic_bert_spec},
};

Result<void> check_sizes(const EncoderSpec& spec) {
  if (spec.n_layer == 0 || spec.n_layer > kLayersMax) {
    return Error::corrupt(
        fmt::format("block_count is {}, expected 1 to {}", spec.n_layer, kLayersMax));
  }
  if (spec.d_model == 0 || spec.d_ff == 0 || spec.n_head == 0 || spec.d_model % spec.n_head != 0 ||
      spec.d_head() > kHeadMax) {
    return Error::corrupt(fmt::format("{} heads in a model of {}, with {} hidden, make no sense",
                                      spec.n_head, spec.d_model, spec.d_ff));
  }
  if (spec.n_ctx_train == 0 || spec.n_ctx_train > kEncoderContextMax) {
    return Error::corrupt(fmt::format("context_length is {}, expected 1 to {}", spec.n_ctx_train,
                                      kEncoderContextMax));
  }
  return {};
}

}  // namespace

std::span<const EncoderFamily> encoder_families() { return kEncoderFamilies; }

Result<EncoderSpec> common_encoder_spec(const Config& config) {
  EncoderSpec spec;
  spec.architecture = config.architecture();
  MARU_TRY(n_layer, config.count("block_count"));
  MARU_TRY(d_model, config.count("embedding_length"));
  MARU_TRY(n_head, config.count("attention.head_count"));
  MARU_TRY(d_ff, config.count("feed_forward_length"));
  MARU_TRY(n_ctx, config.count("context_length"));
  MARU_TRY(eps, config.number("attention.layer_norm_epsilon"));
  MARU_TRY(pooling, read_pooling(config.file().metadata(), config.architecture()));
  MARU_TRY(embeddings, config.file().tensor("token_embd.weight"));
  MARU_TRY(causal, config.flag_or("attention.causal", false));
  if (causal) return Error::unsupported("an encoder whose tokens do not see those after them");
  spec.n_layer = n_layer, spec.d_model = d_model, spec.n_head = n_head, spec.d_ff = d_ff;
  spec.n_ctx_train = n_ctx, spec.norm_eps = eps, spec.pooling = pooling;
  spec.n_vocab = embeddings.n_rows();
  MARU_TRY_VOID(check_sizes(spec));
  return spec;
}

}  // namespace maru::model
