#include "grammar/pieces.h"

#include <fmt/format.h>

#include <map>

#include "grammar/grammar.h"

namespace maru::grammar {
namespace {

class Builder {
 public:
  explicit Builder(Program& program) : program_(program), terms_(program.terms()) {}

  Result<void> build(const Piece& root) {
    MARU_TRY_VOID(compile_parts(root, 0));
    const uint32_t start = new_state();
    const uint32_t end = new_state();
    program_.rules[end].ends = true;
    add_path(root, start, end);
    if (program_.budget().exhausted()) {
      return Error::exhausted("what the answer must look like is too large to compile");
    }
    program_.root = {.kind = Frame::kRule, .id = start};
    return {};
  }

 private:
  // Grammars first: they make rules of their own.
  Result<void> compile_parts(const Piece& piece, size_t depth) {
    if (piece.kind != Piece::kSchema || !schemas_.contains(piece.text)) {
      n_bytes_ += piece.text.size();
    }
    if (++n_pieces_ > kPiecesMax || depth > kPieceDepthMax || n_bytes_ > kPiecesBytesMax) {
      return Error::exhausted(
          fmt::format("a grammar of pieces has at most {} pieces of {} bytes together, {} deep",
                      kPiecesMax, kPiecesBytesMax, kPieceDepthMax));
    }
    if (piece.kind == Piece::kRepeat && piece.max > kPieceRepeatMax) {
      return Error::exhausted(fmt::format("at most {} repetitions", kPieceRepeatMax));
    }
    if (piece.kind == Piece::kSchema) {
      // The same schema may stand in several places.
      const auto [known, is_new] = schemas_.try_emplace(piece.text);
      if (is_new) {
        const GrammarSpec spec{.kind = GrammarKind::kJsonSchema, .source = piece.text};
        MARU_TRY_VOID(compile_named(piece, spec));
        known->second = program_.root;
      }
      frames_[&piece] = known->second;
    } else if (piece.kind == Piece::kGrammar) {
      MARU_TRY_VOID(compile_named(piece, *piece.grammar));
    }
    for (const Piece& part : piece.parts) MARU_TRY_VOID(compile_parts(part, depth + 1));
    return {};
  }

  Result<void> compile_named(const Piece& piece, const GrammarSpec& spec) {
    const auto compiled = compile_into(spec, program_);
    if (compiled.ok()) {
      frames_[&piece] = program_.root;
      return {};
    }
    Error error = compiled.error();
    if (piece.name.empty()) return error;
    error.message = fmt::format("{}: {}", piece.name, error.message);
    error.param = piece.name;
    return error;
  }

  uint32_t new_state() {
    program_.budget().step();
    return program_.add_state();
  }

  TermId one_of(const std::vector<std::string>& texts) {
    return terms_.one_of({texts.begin(), texts.end()});
  }

  // Ways from one state to another that spell the piece.
  void add_path(const Piece& piece, uint32_t from, uint32_t to) {
    if (program_.budget().exhausted()) return;
    switch (piece.kind) {
      case Piece::kText:
        return program_.add_term(from, terms_.literal(piece.text), to);
      case Piece::kFree: {
        const TermId within = terms_.concat({kAllBytes, one_of(piece.texts), kAllBytes});
        const TermId begun = terms_.concat(one_of(piece.begins), kAllBytes);
        return program_.add_term(
            from, terms_.minus(terms_.any_string(), terms_.either({within, begun})), to);
      }
      case Piece::kSchema:
      case Piece::kGrammar:
        return program_.add_edge(from, frames_.at(&piece), to);
      case Piece::kSequence:
        for (size_t i = 0; i < piece.parts.size(); ++i) {
          const uint32_t next = i + 1 == piece.parts.size() ? to : new_state();
          add_path(piece.parts[i], from, next);
          from = next;
        }
        return piece.parts.empty() ? program_.add_term(from, kEmpty, to) : void();
      case Piece::kEither:
        for (const Piece& part : piece.parts) add_path(part, from, to);
        return;
      case Piece::kRepeat:
        return add_repeat(piece, from, to);
    }
  }

  // A rule, so that each repetition costs an edge.
  Frame rule_of(const Piece& piece) {
    const uint32_t start = new_state();
    const uint32_t end = new_state();
    program_.rules[end].ends = true;
    add_path(piece, start, end);
    return {.kind = Frame::kRule, .id = start};
  }

  void add_repeat(const Piece& piece, uint32_t from, uint32_t to) {
    const Frame one = rule_of(piece.parts[0]);
    const Frame between = rule_of(piece.parts[1]);
    if (piece.min == 0) program_.add_term(from, kEmpty, to);
    for (uint32_t i = 0; i < piece.max; ++i) {
      if (i > 0) {
        const uint32_t next = new_state();
        program_.add_edge(from, between, next);
        from = next;
      }
      const uint32_t next = new_state();
      program_.add_edge(from, one, next);
      from = next;
      if (i + 1 >= piece.min) program_.add_term(from, kEmpty, to);
    }
  }

  Program& program_;
  Terms& terms_;
  std::map<const Piece*, Frame> frames_;  // of schemas and grammars
  std::map<std::string_view, Frame> schemas_;
  size_t n_pieces_ = 0;
  size_t n_bytes_ = 0;
};

}  // namespace

bool Piece::operator==(const Piece& other) const {
  const bool same_grammar =
      grammar == other.grammar ||
      (grammar != nullptr && other.grammar != nullptr && *grammar == *other.grammar);
  return kind == other.kind && text == other.text && name == other.name && texts == other.texts &&
         begins == other.begins && parts == other.parts && min == other.min && max == other.max &&
         same_grammar;
}

Result<void> compile_pieces(const Piece& root, Program& program) {
  return Builder(program).build(root);
}

}  // namespace maru::grammar
