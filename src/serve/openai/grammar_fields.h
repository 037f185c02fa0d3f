// serve/openai/grammar_fields.h - the fields that say what an answer must look like: OpenAI's
// response_format, llama.cpp's grammar and json_schema, vLLM's structured_outputs and guided_*.
//
// openai/requests.cc only. Whether a grammar compiles is the engine's to say.
// Threads: free functions without state.
#pragma once
#include <optional>

#include "base/result.h"
#include "grammar/grammar.h"
#include "serve/fields.h"

namespace maru::serve::openai {

// Errors: kInvalidArgument and kUnsupported, naming the field; two of them at once are refused.
Result<std::optional<grammar::GrammarSpec>> read_grammar(const Fields& fields);

}  // namespace maru::serve::openai
