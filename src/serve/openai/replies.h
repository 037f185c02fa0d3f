// serve/openai/replies.h - the texts that go back: stream events and whole answers of both
// endpoints, usage, timings, logprobs and errors.
//
// Written as text around a fixed prefix, not as a tree per token. Generation calls it; it knows
// neither sockets nor engines. Source: the OpenAI API reference (chat, completions).
// Threads: free functions without state.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "link/messages.h"
#include "serve/errors.h"
#include "serve/fields.h"
#include "text/answer_parser.h"

namespace maru::serve::openai {

// What every object of one answer begins with.
struct ReplyHead {
  Endpoint endpoint = kChatEndpoint;
  std::string id;  // "chatcmpl-..." or "cmpl-..."
  int64_t created = 0;
  std::string model;
  std::string fingerprint = {};
  uint64_t seed = 0;  // of the first choice of each prompt
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text
};

// One choice as it grows.
struct Choice {
  std::string text;
  std::string reasoning;
  std::vector<ToolCall> calls;
  size_t n_reasoning = 0;  // tokens
  std::vector<link::TokenLogprob> logprobs;
  std::optional<link::FinishReason> finish;
  link::Usage usage;
  size_t n_offset = 0;  // characters of the choice so far, for text_offset
};

// Sums over choices; a prompt counts once, however many choices it has.
struct Totals {
  size_t n_prompt = 0;
  size_t n_cached = 0;
  size_t n_generated = 0;
  size_t n_predicted_right = 0;
  size_t n_predicted_wrong = 0;
  size_t n_reasoning = 0;        // of those generated
  double prompt_seconds = 0;     // of the slowest choice: they run at the same time
  double generate_seconds = 0;   // of the slowest choice
  double tokens_per_second = 0;  // all choices together
};
// choices: n for each prompt, in order.
Totals add_up(std::span<const Choice> choices, size_t n);

// Stream events, each "data: {...}\n\n".
// opens: the first event of the answer, which also says what holds for all of it.
std::string role_event(const ReplyHead& head, size_t index, bool opens,
                       std::span<const std::string> ignored);
// In llama-server's form; `processed` counts the cached ones as well.
std::string progress_event(const ReplyHead& head, size_t index, const link::Progress& progress);
// More of choice number `index`; part.text may be empty. A part of a call is one of the choice's
// last.
std::string part_event(const ReplyHead& head, size_t index, const Choice& choice,
                       const text::AnswerPart& part, std::span<const link::TokenLogprob> logprobs);
// What the last choice to finish adds: timings, and the receipt (JSON) where one was asked for.
struct Closing {
  Totals totals;
  std::string receipt;
};
std::string finish_event(const ReplyHead& head, size_t index, const Choice& choice,
                         const Closing* closing);
std::string usage_event(const ReplyHead& head, const Totals& totals);
std::string error_event(const Error& error, std::string_view wire_code);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

// The array of choices of a whole answer.
std::string choices_text(const ReplyHead& head, std::span<const Choice> choices,
                         bool with_logprobs);
// choices: by choices_text().
std::string whole_reply(const ReplyHead& head, std::string_view choices, const Closing& closing,
                        std::span<const std::string> ignored);

// ,"ignored_params":[...] where there are any.
void append_ignored(std::string& out, std::span<const std::string> ignored);

// An error of the engine in the words of the API: its field names, and its own code where it has
// one.
struct WireError {
  Error error;
  std::string_view code;  // empty: the ErrorCode's name
};
WireError to_wire_error(Error error, Endpoint endpoint);

// Unicode characters, not bytes.
size_t count_characters(std::string_view utf8);

}  // namespace maru::serve::openai
