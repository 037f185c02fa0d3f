// serve/openai/models.h - the list of models as the API shows it, and what to say of a name that is
// not in it.
//
// Threads: free functions without state.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/errors.h"
#include "serve/services.h"

namespace maru::serve::openai {

// One entry of GET /v1/models. card: of the running engine, or null.
Json model_json(const ModelInfo& model, const link::ModelCard* card);

// "no model \"smolm\" is installed; nearest: ...; `maru pull smollm2:135m` fetches it".
Error unknown_model_error(std::string_view id, const Services& services);

// The names nearest to the wanted one, best first, at most n_max, none that differs in more than
// half of it.
std::vector<std::string> nearest_names(std::string_view wanted, std::span<const std::string> names,
                                       size_t n_max);

}  // namespace maru::serve::openai
