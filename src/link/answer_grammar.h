// link/answer_grammar.h - the grammar of a whole answer: reasoning, text and tool calls, in the
// form that the model's family writes them.
//
// engine_host.cc calls it for each generation. Text is free until a call begins; from there on the
// call's grammar holds. Threads: free functions.
#pragma once
#include <optional>

#include "link/messages.h"
#include "text/chat_shape.h"

namespace maru::link {

// Null: the answer may be anything.
// Requires: calls->names are functions in tools.
// Errors: kInvalidArgument for a call rule whose functions are not in tools.
Result<std::optional<grammar::GrammarSpec>> answer_grammar(const text::ChatShape& shape,
                                                           text::ReasoningState reasoning,
                                                           const GenerateRequest& request,
                                                           const Json& tools);

// The schema of a function's arguments: `parameters`, as an object. Members that it does not
// declare are not allowed unless it says so.
Json arguments_schema(const Json& function);

}  // namespace maru::link
