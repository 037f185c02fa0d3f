// serve/openai/embeddings.h - POST /v1/embeddings: its body to texts, and their vectors to its
// answer.
//
// Called by openai/routes.cc; vectors.h brings the vectors. The body is untrusted: every refusal is
// an Error that names the field. Source: the OpenAI API reference (embeddings).
// Threads: free functions without state.
#pragma once
#include <optional>
#include <string_view>

#include "serve/fields.h"
#include "serve/openai/vectors.h"

namespace maru::serve::openai {

struct EmbeddingsJob {
  std::string model;
  std::vector<link::Prompt> inputs;
  bool base64 = false;
  bool normalize = true;
  std::optional<size_t> dimensions;  // absent: all
  std::vector<std::string> ignored;
};

// Errors: kInvalidArgument, kUnsupported; both name the field.
Result<EmbeddingsJob> parse_embeddings(std::string_view body);

// For a model whose vectors have d_model values. Errors: kInvalidArgument where that is less than
// was asked for.
Result<VectorsJob> embeddings_job(EmbeddingsJob job, size_t d_model);

}  // namespace maru::serve::openai
