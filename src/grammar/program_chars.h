// grammar/program_chars.h - a term as the automaton over characters that json_string.h asks for.
#pragma once
#include "grammar/program.h"

namespace maru::grammar {

class TermChars {
 public:
  explicit TermChars(Program& program)
      : terms_(program.terms()), needless_(program.needless_escapes) {}
  uint32_t next(uint32_t state, uint8_t byte) { return terms_.row(state)[byte]; }
  bool ends(uint32_t state) { return terms_.nullable(state); }
  bool any_spelling(uint32_t state) {
    if (needless_ || terms_.is_nearly_any_string(state)) return true;
    Terms::Loop run;
    return terms_.is_loop(state, run) && run.one == terms_.any_char();
  }

 private:
  Terms& terms_;
  const bool needless_;
};

}  // namespace maru::grammar
