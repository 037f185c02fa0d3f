// serve/openai/requests.h - a JSON body of the Chat Completions or Completions API into one checked
// job.
//
// Called by openai/routes.cc on a worker thread. It must not know sockets or engines. The body is
// untrusted: every refusal is an Error that names the field.
// Source: the OpenAI API reference (chat, completions), and docs/api-fields.md for what is added.
// Threads: free functions without state.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "link/messages.h"
#include "serve/fields.h"

namespace maru::serve::openai {

inline constexpr size_t kMessagesMax = 2000;
inline constexpr size_t kHistoryCallsMax = 128;  // of one message
inline constexpr size_t kChoicesMax = 16;        // prompts times n
inline constexpr size_t kPromptIdsMax = 1 << 20;

struct GenerateJob {
  Endpoint endpoint = kChatEndpoint;
  std::string model;
  bool stream = false;
  bool include_usage = false;
  bool echo = false;
  size_t n = 1;                                // choices for each prompt
  std::vector<link::GenerateRequest> prompts;  // the requests but for the seeds: choice i adds i
  std::vector<std::string> ignored;
  // Where a receipt is asked for: the body with every default written out, and without what changes
  // nothing of the answer.
  std::optional<Json> receipt_request;
};

// seed: used where the body names none.
// Errors: kInvalidArgument, kUnsupported; both name the field.
Result<GenerateJob> parse_chat(std::string_view body, uint64_t seed);
Result<GenerateJob> parse_completion(std::string_view body, uint64_t seed);

// The required name of a model. Errors: kInvalidArgument naming the field.
Result<std::string> read_model(const Fields& fields);
// One prompt or at most n_max: a string, token ids, or an array of either. Errors: as above.
Result<std::vector<link::Prompt>> read_prompts(const Fields& fields, std::string_view field,
                                               size_t n_max);

}  // namespace maru::serve::openai
