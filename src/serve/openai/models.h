// serve/openai/models.h - the list of models as the API shows it, and what to say of a name that is
// not in it.
//
// Threads: free functions without state.
#pragma once
#include <string_view>

#include "base/json.h"
#include "serve/errors.h"
#include "serve/services.h"

namespace maru::serve::openai {

// One entry of GET /v1/models. engine: of that model, or null.
Json model_json(const ModelInfo& model, const link::EngineStatus* engine);

// How far an engine is on its way: 0 to 1; 1 once it is ready.
double load_progress(const link::EngineStatus& engine);

// "no model \"smolm\" is installed; nearest: ...; `maru pull smollm2:135m` fetches it".
Error unknown_model_error(std::string_view id, const Services& services);

}  // namespace maru::serve::openai
