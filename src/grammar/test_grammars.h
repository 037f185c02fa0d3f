// test_grammars.h - what the tests of this folder share: compiling in one line.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "grammar/grammar.h"

namespace maru::grammar {

inline Result<std::unique_ptr<Program>> compile_text(GrammarKind kind, std::string source) {
  return compile({.kind = kind, .source = std::move(source), .choices = {}});
}

// "yes", "no", or the error's message.
inline std::string verdict(GrammarKind kind, const std::string& source, std::string_view text) {
  auto program = compile_text(kind, source);
  if (!program.ok()) return program.error().message;
  const auto accepted = accepts(**program, text);
  if (!accepted.ok()) return accepted.error().message;
  return *accepted ? "yes" : "no";
}

}  // namespace maru::grammar
