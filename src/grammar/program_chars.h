// grammar/program_chars.h - a term as the automaton over characters that json_string.h asks for.
#pragma once
#include "grammar/terms.h"

namespace maru::grammar {

struct TermChars {
  Terms& terms;
  uint32_t next(uint32_t state, uint8_t byte) { return terms.row(state)[byte]; }
  bool ends(uint32_t state) { return terms.nullable(state); }
};

}  // namespace maru::grammar
