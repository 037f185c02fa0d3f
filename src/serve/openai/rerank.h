// serve/openai/rerank.h - POST /v1/rerank: its body to texts, and their vectors to an order of the
// documents.
//
// A model that ranks (a cross-encoder) scores each document beside the query. An embedding model
// embeds query and documents, and the score is the cosine of their vectors.
// Called by openai/routes.cc; vectors.h brings the vectors. The body is untrusted: every refusal is
// an Error that names the field. Source: the rerank APIs of Cohere and Jina.
// Threads: free functions without state.
#pragma once
#include <string_view>

#include "serve/fields.h"
#include "serve/openai/vectors.h"

namespace maru::serve::openai {

struct RerankJob {
  std::string model;
  std::string query;
  std::vector<std::string> documents;
  size_t top_n = 0;  // at most the number of documents
  bool return_documents = false;
  bool raw_scores = false;  // of a model that ranks: as it gives them, instead of 0 to 1
  std::vector<std::string> ignored;
};

// Errors: kInvalidArgument, kUnsupported; both name the field.
Result<RerankJob> parse_rerank(std::string_view body);

// ranks: the model does, else it makes embeddings.
VectorsJob rerank_job(RerankJob job, bool ranks);

}  // namespace maru::serve::openai
