// model/load_encoder.cc - from an open GGUF file to an EmbeddingModel, and the decoder as one.
#include <algorithm>

#include "model/embedding.h"
#include "model/encoder.h"

namespace maru::model {
namespace {

const EncoderFamily* find_family(std::string_view architecture) {
  const auto families = encoder_families();
  const auto found = std::ranges::find(families, architecture, &EncoderFamily::architecture);
  return found == families.end() ? nullptr : &*found;
}

// Evaluates each text in a KV store of its own, made for the call.
class DecoderEmbedding final : public EmbeddingModel {
 public:
  DecoderEmbedding(Model& model, Pooling pooling) : model_(model), pooling_(pooling) {}

  const ModelInfo& info() const override { return model_.info(); }
  Pooling pooling() const override { return pooling_; }

  Result<void> embed(std::span<const EmbedText> texts, std::span<float> out) override {
    std::vector<std::vector<BlockId>> blocks;
    BlockId n_blocks = 0;
    for (const EmbedText& text : texts) {
      blocks.emplace_back(blocks_for(text.ids.size()));
      for (BlockId& block : blocks.back()) block = n_blocks++;
    }
    MARU_TRY(kv, model_.make_kv_store(n_blocks, texts.size()));
    std::vector<Slice> batch;
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::span<const TokenId> ids = texts[i].ids;
      batch.push_back({ids, 0, blocks[i], ids.size(), static_cast<StateId>(i)});
    }
    model_.forward_hidden(batch, *kv, out);
    return {};
  }

 private:
  Model& model_;
  Pooling pooling_;
};

}  // namespace

bool is_encoder(std::string_view architecture) { return find_family(architecture) != nullptr; }

Result<std::unique_ptr<EmbeddingModel>> load_encoder(const gguf::File& file,
                                                     const LoadOptions& options) {
  CHECK(options.pool != nullptr && options.kernels != nullptr);
  MARU_TRY(architecture, file.metadata().get_string("general.architecture"));
  MARU_TRY(name, file.metadata().get_string_or("general.name", ""));
  const EncoderFamily* family = find_family(architecture);
  CHECK(family != nullptr);
  const Config config(file, std::string(architecture));
  MARU_TRY(spec, family->spec(config));
  MARU_TRY(weights, load_encoder_weights(spec, config, options));
  return Encoder::create(std::move(spec), std::move(weights), options, std::string(name));
}

std::unique_ptr<EmbeddingModel> embed_with_decoder(Model& model, Pooling pooling) {
  return std::make_unique<DecoderEmbedding>(model, pooling);
}

}  // namespace maru::model
