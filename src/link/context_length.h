// link/context_length.h - two refusals that the real and the scripted engine share word for word.
//
// Threads: free functions.
#pragma once
#include <optional>

#include "link/messages.h"

namespace maru::link {

// A prompt is never cut: it fits together with max_tokens (or one token), or it is refused.
// Errors: kInvalidArgument with param kContextLengthExceeded and all counts.
Result<void> check_context(size_t n_prompt, std::optional<size_t> max_tokens, size_t n_ctx);

Error no_chat_template_error();

}  // namespace maru::link
