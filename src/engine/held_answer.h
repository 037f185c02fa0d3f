// engine/held_answer.h - one answer that is held to a grammar: which tokens may be drawn, and which
// need not be drawn at all.
//
// Engine has one for each such sequence. Threads: the engine thread.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "engine/request.h"
#include "engine/token_table.h"
#include "grammar/constraint.h"

namespace maru::engine {

// Tokens that are appended to one drawn, so that no answer keeps others waiting for long.
inline constexpr size_t kForcedTokensMax = 16;

// The tokens that can be part of an answer's text.
std::shared_ptr<const grammar::Vocabulary> answer_vocabulary(const TokenTable& tokens);

class HeldAnswer {
 public:
  // `eog`: tokens that end a generation; they outlive this. Where `ignore_eos`, they are drawn only
  // where nothing else may follow.
  HeldAnswer(std::shared_ptr<grammar::CompiledGrammar> grammar, std::span<const TokenId> eog,
             bool ignore_eos);

  // One bit for each token that may be drawn next; valid until the next accept(). Asked again
  // before that, it is not computed again.
  // Errors: kResourceExhausted where a limit of the grammar was met, kUnsupported where the
  // vocabulary cannot spell what must come.
  Result<std::span<const uint64_t>> allowed();
  // Requires: allowed() has it, and it does not end the generation. Errors: as above.
  Result<void> accept(TokenId token);
  // The token that must come next, or -1 (grammar/constraint.h).
  TokenId forced() { return constraint_.forced(); }
  // Whether nothing may follow.
  bool is_complete();

 private:
  grammar::Constraint constraint_;
  const std::span<const TokenId> eog_;
  const bool ignore_eos_;
  grammar::TokenMask mask_;
  bool is_mask_known_ = false;  // of what may be drawn now
};

}  // namespace maru::engine
