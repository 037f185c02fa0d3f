// grammar/pieces.h - a grammar put together of literal text, free text, JSON schemas and other
// grammars.
//
// link/answer_grammar.cc makes them: the answer of a model that may think, write and call tools.
// Threads: plain values and a free function.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "grammar/program.h"

namespace maru::grammar {

struct GrammarSpec;

struct Piece {
  enum Kind : uint8_t {
    kText,      // `text` as it is
    kFree,      // any text in which none of `texts` occurs and that begins with none of `begins`
    kSchema,    // a JSON value; `text` is the schema, `name` what an error is about
    kGrammar,   // `grammar`; GBNF at most once in all pieces
    kSequence,  // `parts`, one after another
    kEither,    // one of `parts`
    kRepeat,    // parts[0], from `min` to `max` times, parts[1] between two of them
  };
  Kind kind = kText;
  std::string text = {};
  std::string name = {};
  std::vector<std::string> texts = {};
  std::vector<std::string> begins = {};
  std::vector<Piece> parts = {};
  uint32_t min = 0;
  uint32_t max = 0;
  std::shared_ptr<const GrammarSpec> grammar = {};

  bool operator==(const Piece& other) const;
};

// Of a tree of pieces.
inline constexpr size_t kPiecesMax = 4096;
inline constexpr size_t kPieceDepthMax = 16;
inline constexpr uint32_t kPieceRepeatMax = 64;
// The texts of all schemas together; each is held to kSourceBytesMax.
inline constexpr size_t kPiecesBytesMax = 1 << 20;

// Sets the program's root. Requires: the program is new.
// Errors: those of its parts; `param` is the name of the piece.
Result<void> compile_pieces(const Piece& root, Program& program);

}  // namespace maru::grammar
