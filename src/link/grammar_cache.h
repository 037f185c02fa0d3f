// link/grammar_cache.h - grammars that requests ask for again and again, compiled once.
//
// engine_host.cc has one for its model. The vocabulary's tree is made with the first grammar.
// Threads: the text thread; what it gives is used on the engine thread.
#pragma once
#include <list>
#include <memory>

#include "engine/held_answer.h"
#include "grammar/constraint.h"

namespace maru::link {

// Of all that is kept. The longest unused are forgotten first; who uses one keeps it alive.
inline constexpr size_t kGrammarCacheBytesMax = 64 << 20;
inline constexpr size_t kGrammarCacheMax = 256;

class GrammarCache {
 public:
  // Errors: kInvalidArgument and kUnsupported, with param kGrammarParam.
  Result<std::shared_ptr<grammar::CompiledGrammar>> get(const grammar::GrammarSpec& spec,
                                                        const engine::TokenTable& tokens);

 private:
  struct Kept {
    grammar::GrammarSpec spec;
    std::shared_ptr<grammar::CompiledGrammar> grammar;
  };
  void forget_old();

  std::shared_ptr<const grammar::Vocabulary> vocabulary_;
  std::list<Kept> kept_;  // the last used first
};

}  // namespace maru::link
