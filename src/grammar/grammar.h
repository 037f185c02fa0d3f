// grammar/grammar.h - what an answer must look like, in one of the notations that are understood,
// and its compilation.
//
// link/ compiles what a request asks for; app/cmd_grammar.cc checks texts.
// Threads: compile() is a free function; a Program then has one owner at a time.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "grammar/matcher.h"
#include "grammar/pieces.h"
#include "grammar/program.h"

namespace maru::grammar {

enum class GrammarKind { kJsonSchema, kRegex, kGbnf, kChoice, kPieces };

inline constexpr size_t kChoicesMax = 4096;

struct GrammarSpec {
  GrammarKind kind = GrammarKind::kJsonSchema;
  std::string source = {};                // a schema as JSON text, an expression, a grammar
  std::vector<std::string> choices = {};  // of kChoice: the whole answer is one of these
  Piece pieces = {};                      // of kPieces
  bool operator==(const GrammarSpec&) const = default;
  size_t n_bytes() const;  // of its texts
};

// Errors: kInvalidArgument (what is wrong with it, or the limit met: waiting helps nobody) and
// kUnsupported (what can't be compiled). Nothing of a grammar is ever ignored.
Result<std::unique_ptr<Program>> compile(const GrammarSpec& spec);
// The same as one more part of a program, whose root it becomes. Errors: as above, and
// kResourceExhausted for a limit. Requires: the program has no rules yet, or this makes none.
Result<void> compile_into(const GrammarSpec& spec, Program& program);

}  // namespace maru::grammar
