// serve/openai/routes.h - GET /v1/models, /v1/models/{id}, POST /v1/chat/completions,
// /v1/completions, /v1/embeddings and /v1/rerank, GET /health, /health/{model},
// /maru/engines and /metrics.
//
// app/ calls it once. Threads: the handlers run on any server thread.
#pragma once
#include <memory>

#include "serve/http.h"
#include "serve/services.h"

namespace maru::serve::openai {

void add_routes(Router& router, std::shared_ptr<const Services> services);

}  // namespace maru::serve::openai
