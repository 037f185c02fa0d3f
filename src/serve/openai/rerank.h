// serve/openai/rerank.h - POST /v1/rerank: its body to texts, and their vectors to an order of the
// documents.
//
// An embedding model embeds query and documents, and the score is the cosine of their vectors.
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
  std::vector<std::string> ignored;
};

// Errors: kInvalidArgument, kUnsupported; both name the field.
Result<RerankJob> parse_rerank(std::string_view body);

VectorsJob rerank_job(RerankJob job);

}  // namespace maru::serve::openai
