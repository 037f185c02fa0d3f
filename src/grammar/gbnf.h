// grammar/gbnf.h - grammars in GBNF, the notation of llama.cpp, as programs.
//
// Rules `name ::= alternatives`, of strings, character classes, `.`, groups, rule names and the
// repetitions * + ? {m} {m,} {m,n}; comments from # to the end of the line. The text is that of
// `root`. A rule that begins with itself is refused: write the repetition to the right.
// Threads: free functions.
// Source: llama.cpp, grammars/README.md.
#pragma once
#include <string_view>

#include "base/result.h"
#include "grammar/program.h"

namespace maru::grammar {

// Sets the program's root. Requires: the program has no rules yet.
// Errors: kInvalidArgument, kUnsupported, kResourceExhausted; the message has the line.
Result<void> compile_gbnf(std::string_view source, Program& program);

}  // namespace maru::grammar
