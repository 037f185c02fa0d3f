// model/embedding.h - a loaded model that turns texts into vectors: an encoder (BERT and its kin),
// or a decoder that was trained for it.
//
// Called by engine/ on the engine thread. It must not know: requests, text. Each token's vector
// depends on its own sequence only, bit for bit, whatever else is in the call and for any number of
// threads.
#pragma once
#include <memory>
#include <span>

#include "base/result.h"
#include "model/model.h"
#include "model/pooling.h"
#include "model/rank_head.h"

namespace maru::model {

// The tokens of a text, or of two that are looked at together, as a cross-encoder does.
struct EmbedText {
  std::span<const TokenId> ids = {};
  size_t n_first = SIZE_MAX;  // ids of the first text; the rest are the second's
};

class EmbeddingModel {
 public:
  virtual ~EmbeddingModel() = default;
  // n_ctx_train is the longest sequence; there is no KV store.
  virtual const ModelInfo& info() const = 0;
  virtual Pooling pooling() const = 0;
  // Null where pooling() is not kRank.
  virtual const RankHead* rank_head() const { return nullptr; }
  // The last layer's vector of every token, texts in order.
  // Shapes: out [sum of tokens, d_model].
  // Requires: token ids in range; each text has 1 to n_ctx_train tokens.
  // Errors: kResourceExhausted where the memory cannot be had.
  virtual Result<void> embed(std::span<const EmbedText> texts, std::span<float> out) = 0;
};

// True for architectures whose tokens see those after them: these give vectors and no text.
bool is_encoder(std::string_view architecture);

// Errors: as load_model(). Requires: is_encoder(general.architecture); file outlives the model.
Result<std::unique_ptr<EmbeddingModel>> load_encoder(const gguf::File& file,
                                                     const LoadOptions& options);

// A decoder that gives its last layer's vectors. Requires: model outlives this.
std::unique_ptr<EmbeddingModel> embed_with_decoder(Model& model, Pooling pooling);

}  // namespace maru::model
