#include "grammar/grammar.h"

#include <fmt/format.h>

#include "grammar/gbnf.h"
#include "grammar/regex.h"
#include "grammar/schema/compile_schema.h"

namespace maru::grammar {
namespace {

Result<void> set_root(Program& program, TermId term, std::string_view what) {
  const bool live = program.terms().is_live(term);
  if (program.budget().exhausted()) {
    return Error::exhausted(fmt::format("the {} is too large to compile", what));
  }
  if (!live) return Error::invalid(fmt::format("no text belongs to the {}", what));
  program.root = {.kind = Frame::kTerm, .x = term};
  return {};
}

Result<void> compile_regex(const std::string& source, Program& program) {
  MARU_TRY(term, parse_regex(program.terms(), source, RegexMatch::kWhole));
  return set_root(program, term, "regular expression");
}

Result<void> compile_choice(const std::vector<std::string>& choices, Program& program) {
  if (choices.empty() || choices.size() > kChoicesMax) {
    return Error::invalid(fmt::format("a choice has 1 to {} texts", kChoicesMax));
  }
  size_t n_bytes = 0;
  for (const std::string& choice : choices) n_bytes += choice.size();
  if (n_bytes > kSourceBytesMax) {
    return Error::exhausted(
        fmt::format("the texts of a choice have at most {} bytes together", kSourceBytesMax));
  }
  return set_root(program, program.terms().one_of({choices.begin(), choices.end()}), "choice");
}

size_t bytes_of(const Piece& piece) {
  size_t n = sizeof(Piece) + piece.text.size();
  if (piece.grammar != nullptr) n += piece.grammar->n_bytes();
  for (const Piece& part : piece.parts) n += bytes_of(part);
  return n;
}

}  // namespace

size_t GrammarSpec::n_bytes() const {
  size_t n = source.size() + bytes_of(pieces);
  for (const std::string& choice : choices) n += choice.size();
  return n;
}

Result<void> compile_into(const GrammarSpec& spec, Program& program) {
  if (spec.source.size() > kSourceBytesMax) {
    return Error::exhausted(
        fmt::format("a grammar has at most {} bytes, not {}", kSourceBytesMax, spec.source.size()));
  }
  switch (spec.kind) {
    case GrammarKind::kJsonSchema: {
      MARU_TRY(schema, parse_json(spec.source));
      return compile_schema(schema, program);
    }
    case GrammarKind::kRegex:
      return compile_regex(spec.source, program);
    case GrammarKind::kGbnf:
      return compile_gbnf(spec.source, program);
    case GrammarKind::kChoice:
      return compile_choice(spec.choices, program);
    case GrammarKind::kPieces:
      return compile_pieces(spec.pieces, program);
  }
  return Error::internal("an unknown kind of grammar");
}

Result<std::unique_ptr<Program>> compile(const GrammarSpec& spec) {
  auto program = std::make_unique<Program>();
  const auto compiled = compile_into(spec, *program);
  if (compiled.ok()) return program;
  Error error = compiled.error();
  if (error.code == ErrorCode::kResourceExhausted) error.code = ErrorCode::kInvalidArgument;
  return error;
}

}  // namespace maru::grammar
