// serve/openai/vectors.h - the vectors of all texts of one request: from the engine to one answer.
//
// embeddings.h and rerank.h say which texts, and what is made of the vectors. When one text fails
// or the client goes away, what is left of the request is cancelled.
// Threads: results arrive on the client's reader thread, the abort callback on a server thread; a
// mutex guards the state, and the engine is never called while it is held.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "link/client.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/openai/handed_over.h"

namespace maru::serve::openai {

struct VectorsJob {
  std::string model = {};
  std::vector<link::EmbedRequest> texts = {};  // at least one
  // The name of a text in an error: "input[3]".
  std::function<std::string(size_t index)> name = {};
  // The body of the answer. Shapes: one result for each text, in their order.
  std::function<std::string(std::vector<link::EmbedResult>)> reply = {};
};

class Vectors : public std::enable_shared_from_this<Vectors> {
 public:
  Vectors(VectorsJob job, std::shared_ptr<link::Client> client,
          std::shared_ptr<ResponseWriter> writer, std::shared_ptr<RequestMetrics> metrics);

  // Hands all texts to the engine; the results keep this object alive. Call once.
  void start();

 private:
  void on_result(size_t index, Result<link::EmbedResult> result);
  void on_abort(AbortReason reason);
  void end(RequestMetrics::Outcome outcome);
  void fail(size_t index, Error error);

  const VectorsJob job_;
  const std::shared_ptr<link::Client> client_;
  HandedOver handed_over_;
  const std::shared_ptr<ResponseWriter> writer_;
  const std::shared_ptr<RequestMetrics> metrics_;

  std::mutex mutex_;
  std::vector<link::EmbedResult> results_;
  size_t n_done_ = 0;
  bool is_over_ = false;
  bool has_failed_ = false;  // and what the engine still has of it must go
};

// What every answer ends with: usage, the fields that were ignored, the brace.
void end_vectors_reply(std::string& out, size_t n_prompt, std::span<const std::string> ignored);

// "input[3]" and the like: the texts of one field.
std::function<std::string(size_t)> names_in(std::string field, size_t n_texts);

}  // namespace maru::serve::openai
