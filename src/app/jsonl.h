// app/jsonl.h - JSON lines in, JSON lines out: one answer per line, in order, written at once.
//
// tokenize, detokenize, score, render, embed and grammar. Threads: one.
#pragma once
#include <functional>

#include "app/engine.h"

namespace maru::app {

inline constexpr size_t kJsonLineBytesMax = 64 << 20;

// Gives an engine; called at the start, and again after an engine died on a line.
using StartEngine = std::function<Result<EngineClient>()>;
using AnswerLine = std::function<Result<Json>(link::Client&, const Json&)>;

// The same of several lines at once: one answer each, in their order.
using AnswerBatch =
    std::function<std::vector<Result<Json>>(link::Client&, const std::vector<Json>&)>;

// Reads standard input to its end. A line that cannot be answered (bad JSON, a refused request,
// an engine that died on it) is answered {"error": {"code", "message"}}.
// Gives kExitFailed only where no engine could be started.
int answer_lines(const StartEngine& start, const AnswerLine& answer);
// The same where no engine is asked.
int answer_lines(const std::function<Result<Json>(const Json&)>& answer);
// Lines that have arrived already, up to n_lines_max, are answered together; none is waited for.
// Where an engine dies on several, each is asked again alone, so that one costs no other its
// answer.
int answer_batches(const StartEngine& start, size_t n_lines_max, const AnswerBatch& answer);

// Fields of a line. Errors: kInvalidArgument naming the field and what is accepted.
Result<std::string> text_field(const Json& line, const char* name);
Result<bool> flag_field(const Json& line, const char* name, bool otherwise);
Result<size_t> count_field(const Json& line, const char* name, size_t otherwise);
Result<std::vector<link::TokenId>> ids_field(const Json& line, const char* name);

}  // namespace maru::app
