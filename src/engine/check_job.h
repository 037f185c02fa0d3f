// engine/check_job.h - everything that is refused before a job is queued, in one place.
//
// Engine, and the scripted engine of link/ (which refuses in the same words). Threads: free
// functions.
#pragma once
#include <optional>
#include <string_view>

#include "engine/request.h"

namespace maru::engine {

// Error::param of a prompt that, with max_tokens, does not fit into the context. The message has
// all counts.
inline constexpr std::string_view kContextLengthExceeded = "context_length_exceeded";

// A score holds at most so many (token, log-probability) pairs: 512 MiB of them.
inline constexpr size_t kScorePairsMax = size_t{1} << 26;

// A prompt is never cut: it fits together with max_tokens (or one token), or it is refused.
// Errors: kInvalidArgument with param kContextLengthExceeded, or for an empty prompt.
Result<void> check_context(size_t n_prompt, std::optional<size_t> max_tokens, size_t n_ctx);

// Errors: kInvalidArgument naming the field.
Result<void> check_claim(const Claim& claim);

// Errors: kInvalidArgument naming the field; kResourceExhausted above kScorePairsMax.
Result<void> check_job(const GenerateJob& job, size_t n_vocab, size_t n_ctx);
Result<void> check_job(const ScoreJob& job, size_t n_vocab, size_t n_ctx);
Result<void> check_job(const EmbedJob& job, size_t n_vocab, size_t n_ctx);

}  // namespace maru::engine
