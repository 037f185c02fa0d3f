// grammar/schema/compile_schema.h - a JSON schema as a program.
//
// Threads: free functions.
#pragma once
#include <memory>

#include "base/json.h"
#include "base/result.h"
#include "grammar/program.h"

namespace maru::grammar {

// What is supported and what a text may look like: docs/grammars.md.
// Errors: kInvalidArgument, kUnsupported, kResourceExhausted; the message has the path in the
// schema. A schema that no value satisfies is kInvalidArgument.
Result<std::unique_ptr<Program>> compile_schema(const Json& schema);

}  // namespace maru::grammar
