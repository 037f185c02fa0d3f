// grammar/constraint.h - a compiled grammar over a vocabulary, and one answer that is held to it.
//
// link/engine_host.cc compiles and keeps them; engine/ asks what may come next. All answers of one
// grammar share what it has found out.
// Threads: make() on any; after that a CompiledGrammar and its Constraints belong to one thread,
// but for is_spent() and n_bytes().
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "grammar/grammar.h"
#include "grammar/masker.h"

namespace maru::grammar {

class CompiledGrammar {
 public:
  // Errors: those of compile().
  static Result<std::shared_ptr<CompiledGrammar>> make(
      const GrammarSpec& spec, std::shared_ptr<const Vocabulary> vocabulary);

  // A limit was met while it was used: it answers nothing any more.
  bool is_spent() const { return is_spent_.load(); }
  size_t n_bytes() const { return n_bytes_.load(); }

 private:
  friend class Constraint;
  CompiledGrammar(std::unique_ptr<Program> program, std::shared_ptr<const Vocabulary> vocabulary);
  void note();

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::unique_ptr<Program> program_;
  Masker masker_;
  std::atomic<bool> is_spent_ = false;
  std::atomic<size_t> n_bytes_ = 0;
};

class Constraint {
 public:
  explicit Constraint(std::shared_ptr<CompiledGrammar> grammar);

  // The tokens that may come next, none of them one that ends the answer. Null where a limit was
  // met.
  const TokenMask* mask();
  // Requires: mask() has it. False where a limit was met.
  bool accept(TokenId token);
  // Whether the answer may end here.
  bool may_end() const { return matcher_.may_end(); }
  // The token that must come next: where the text can only go on in one way, the longest token of
  // that way; -1 where there is a choice. Of several tokens that are spelled alike the lowest.
  TokenId forced();

 private:
  std::shared_ptr<CompiledGrammar> grammar_;
  Matcher matcher_;
  TokenMask mask_;
  Tops mask_tops_;  // where mask_ was made
  bool has_mask_ = false;
};

}  // namespace maru::grammar
