// serve/openai/tool_fields.h - the fields that say which functions an answer may call: tools,
// tool_choice, parallel_tool_calls.
//
// openai/requests.cc only. Whether a function's schema compiles is the engine's to say.
// Threads: free functions without state.
#pragma once
#include <optional>

#include "base/result.h"
#include "link/messages.h"
#include "serve/fields.h"

namespace maru::serve::openai {

// Of the JSON text of one function's parameters.
inline constexpr size_t kParametersBytesMax = 64 * 1024;

struct Tools {
  Json declared = nullptr;              // what the template is given
  std::optional<link::CallRule> calls;  // absent where no tools are in play
};

// Errors: kInvalidArgument and kUnsupported, naming "tools[3].function.name" and the like.
Result<Tools> read_tools(Fields& fields);

}  // namespace maru::serve::openai
