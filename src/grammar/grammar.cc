#include "grammar/grammar.h"

#include <fmt/format.h>

#include "grammar/gbnf.h"
#include "grammar/regex.h"
#include "grammar/schema/compile_schema.h"

namespace maru::grammar {
namespace {

Result<std::unique_ptr<Program>> of_term(std::unique_ptr<Program> program, TermId term,
                                         std::string_view what) {
  const bool live = program->terms().is_live(term);
  if (program->budget().exhausted()) {
    return Error::exhausted(fmt::format("the {} is too large to compile", what));
  }
  if (!live) return Error::invalid(fmt::format("no text belongs to the {}", what));
  program->root = {.kind = Frame::kTerm, .x = term};
  return program;
}

Result<std::unique_ptr<Program>> compile_regex(const std::string& source) {
  auto program = std::make_unique<Program>();
  MARU_TRY(term, parse_regex(program->terms(), source, RegexMatch::kWhole));
  return of_term(std::move(program), term, "regular expression");
}

Result<std::unique_ptr<Program>> compile_choice(const std::vector<std::string>& choices) {
  if (choices.empty() || choices.size() > kChoicesMax) {
    return Error::invalid(fmt::format("a choice has 1 to {} texts", kChoicesMax));
  }
  size_t n_bytes = 0;
  for (const std::string& choice : choices) n_bytes += choice.size();
  if (n_bytes > kSourceBytesMax) {
    return Error::exhausted(
        fmt::format("the texts of a choice have at most {} bytes together", kSourceBytesMax));
  }
  auto program = std::make_unique<Program>();
  const TermId term = program->terms().one_of({choices.begin(), choices.end()});
  return of_term(std::move(program), term, "choice");
}

Result<std::unique_ptr<Program>> compile_any(const GrammarSpec& spec) {
  if (spec.source.size() > kSourceBytesMax) {
    return Error::exhausted(
        fmt::format("a grammar has at most {} bytes, not {}", kSourceBytesMax, spec.source.size()));
  }
  switch (spec.kind) {
    case GrammarKind::kJsonSchema: {
      MARU_TRY(schema, parse_json(spec.source));
      return compile_schema(schema);
    }
    case GrammarKind::kRegex:
      return compile_regex(spec.source);
    case GrammarKind::kGbnf:
      return compile_gbnf(spec.source);
    case GrammarKind::kChoice:
      return compile_choice(spec.choices);
  }
  return Error::internal("an unknown kind of grammar");
}

}  // namespace

Result<std::unique_ptr<Program>> compile(const GrammarSpec& spec) {
  auto program = compile_any(spec);
  if (program.ok() || program.error().code != ErrorCode::kResourceExhausted) return program;
  return Error::invalid(program.error().message);
}

}  // namespace maru::grammar
