// grammar/schema/compile_schema.h - a JSON schema as a program.
//
// Threads: free functions.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "grammar/program.h"

namespace maru::grammar {

// Sets the program's root; what the program had before stays as it is.
// What is supported and what a text may look like: docs/grammars.md.
// Errors: kInvalidArgument, kUnsupported, kResourceExhausted; the message has the path in the
// schema. A schema that no value satisfies is kInvalidArgument.
Result<void> compile_schema(const Json& schema, Program& program);

}  // namespace maru::grammar
