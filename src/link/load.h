// link/load.h - from a Load command to everything an engine process serves with.
//
// engine_host.cc calls it; tests of the host give their own. Threads: one call at a time.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "base/thread_pool.h"
#include "engine/engine.h"
#include "gguf/file.h"
#include "link/messages.h"
#include "model/embedding.h"
#include "model/model.h"
#include "text/chat_shape.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace maru::link {

// Where Load names no context: the model's own, but not above this and not above what the memory
// share below can hold.
inline constexpr size_t kContextDefaultMax = 32'768;
// Of the memory that is available once the weights are loaded, for KV blocks. They are touched only
// as they fill.
inline constexpr double kKvMemoryShare = 0.5;
// And at most so many sequences of full length.
inline constexpr size_t kKvFullContextsMax = 8;

// What is absent was not asked for (vocab_only, template_path) or is not in the file.
struct LoadedModel {
  ModelCard card;
  std::optional<text::Tokenizer> tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::optional<text::ChatShape> shape;  // of the model's own template
  std::optional<Error> template_error;   // why the model's own template cannot be used
  Json template_tokens = Json::object();
  engine::EngineOptions engine_options;
  std::optional<engine::TokenTable> tokens;
  // In the order that each needs the one before it.
  std::unique_ptr<ThreadPool> pool;
  std::optional<gguf::File> file;
  std::unique_ptr<model::Model> model;                // null for an encoder
  std::unique_ptr<model::EmbeddingModel> embeddings;  // the encoder, or the model as one
};

using Loader =
    std::function<Result<std::unique_ptr<LoadedModel>>(const LoadRequest&, const LoadProgress&)>;

// The longest text of an encoder: as the setting says, else kContextDefaultMax; at most its own.
size_t encoder_context(const model::ModelInfo& info, size_t n_ctx_wanted);

// Errors: those of the file, the tokenizer and the model; kInvalidArgument for an unknown isa;
// kResourceExhausted where memory does not hold the KV of n_ctx.
Result<std::unique_ptr<LoadedModel>> load_from_files(const LoadRequest& load,
                                                     const LoadProgress& on_progress = {});

// The context and the numbers of KV blocks and recurrent states for a model. A context above the
// model's own becomes the model's own. Errors: as above.
Result<engine::EngineOptions> size_kv(const model::ModelInfo& info, size_t n_ctx_wanted,
                                      uint64_t memory_available);

}  // namespace maru::link
