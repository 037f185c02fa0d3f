// app/answer.h - one answer of a model, streamed to a terminal or a pipe; Ctrl-C stops it.
//
// chat, run and bench. Threads: stream_answer() waits on the caller's thread; events come from the
// client's.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "app/command_line.h"
#include "link/client.h"

namespace maru::app {

// Sampling as flags and /set name it. Fields that nobody set keep the engine's defaults.
struct AnswerSettings {
  engine::SamplingParams sampling;
  bool has_seed = false;  // else each answer draws its own
  std::vector<std::string> stop;
  std::optional<size_t> max_tokens;
};

void add_answer_flags(const Command& command, AnswerSettings* settings);

// /set NAME VALUE. Errors: kInvalidArgument with the names or the range that is accepted.
Result<void> set_by_name(AnswerSettings& settings, const std::string& name,
                         const std::string& value);
// "temperature 0.8" and so on, a line each.
std::string describe(const AnswerSettings& settings);

// A request with these settings; its prompt is left open.
link::GenerateRequest generate_request(const AnswerSettings& settings);

struct Answer {
  std::string text;
  std::optional<link::Done> done;  // or error
  std::optional<Error> error;
  bool interrupted = false;  // by Ctrl-C or SIGTERM
  bool terminated = false;   // by SIGTERM: the program should end
};

// on_text gets the text as it comes, in well-formed pieces.
Answer stream_answer(link::Client& client, link::GenerateRequest request,
                     const std::function<void(std::string_view)>& on_text);

// "12 tokens at 34.5/s; prompt 100 tokens (64 of them cached) at 210.0/s"
std::string describe(const link::Usage& usage);
Json usage_json(const link::Usage& usage);
std::string_view finish_reason_name(link::FinishReason reason);

}  // namespace maru::app
