// grammar/state_walk.h - walks over the vocabulary's tree within one regular part.
//
// masker.cc only. Threads: free functions; the program has one owner.
#pragma once
#include "base/function_ref.h"
#include "grammar/masker.h"

namespace maru::grammar {

// Calls `inside` for each node below `node` whose bytes can be read from `term` on, and `ends` for
// those after which the part may have ended: in a text where the term is nullable, in a JSON string
// behind the closing quote (for which `inside` is called as well).
using AtNode = FunctionRef<void(uint32_t node)>;
void walk_text_below(const TokenTrie& trie, Program& program, uint32_t node, TermId term,
                     AtNode inside, AtNode ends);
void walk_string_below(const TokenTrie& trie, Program& program, uint32_t node, TermId term,
                       AtNode inside, AtNode ends);

// All verdicts over a vocabulary. A run is any number of characters of the class `one`.
StateMask walk_text(const Vocabulary& vocabulary, Program& program, TermId term);
StateMask walk_string(const Vocabulary& vocabulary, Program& program, TermId term);
StateMask walk_text_run(const Vocabulary& vocabulary, Program& program, TermId one);
StateMask walk_string_run(const Vocabulary& vocabulary, Program& program, TermId one);
// Requires: program.terms().is_nearly_any_string(term).
StateMask walk_nearly_free(const Vocabulary& vocabulary, Program& program, TermId term);

}  // namespace maru::grammar
