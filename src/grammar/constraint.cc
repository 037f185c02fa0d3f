#include "grammar/constraint.h"

namespace maru::grammar {
namespace {

// Where only one way is left the tokens that may come are its beginnings: few.
constexpr size_t kForcedCandidatesMax = 64;

}  // namespace

CompiledGrammar::CompiledGrammar(std::unique_ptr<Program> program,
                                 std::shared_ptr<const Vocabulary> vocabulary)
    : vocabulary_(std::move(vocabulary)),
      program_(std::move(program)),
      masker_(*program_, *vocabulary_) {
  program_->needless_escapes = false;
  note();
}

Result<std::shared_ptr<CompiledGrammar>> CompiledGrammar::make(
    const GrammarSpec& spec, std::shared_ptr<const Vocabulary> vocabulary) {
  MARU_TRY(program, compile(spec));
  return std::shared_ptr<CompiledGrammar>(
      new CompiledGrammar(std::move(program), std::move(vocabulary)));
}

void CompiledGrammar::note() {
  if (program_->budget().exhausted()) is_spent_ = true;
  n_bytes_ = kGrammarBytesMax - program_->budget().bytes_left() + masker_.n_bytes();
}

Constraint::Constraint(std::shared_ptr<CompiledGrammar> grammar)
    : grammar_(std::move(grammar)),
      matcher_(*grammar_->program_),
      mask_(grammar_->vocabulary_->size()) {}

const TokenMask* Constraint::mask() {
  if (has_mask_ && mask_tops_ == matcher_.tops()) return &mask_;
  has_mask_ = grammar_->masker_.fill(matcher_, mask_);
  mask_tops_ = matcher_.tops();
  grammar_->note();
  return has_mask_ ? &mask_ : nullptr;
}

bool Constraint::accept(TokenId token) {
  const bool accepted = matcher_.accept(grammar_->vocabulary_->bytes(token));
  grammar_->note();
  return accepted && matcher_.ok();
}

TokenId Constraint::forced() {
  if (may_end() || mask() == nullptr || mask_.count() > kForcedCandidatesMax) return -1;
  const auto bytes = [this](TokenId id) { return grammar_->vocabulary_->bytes(id); };
  TokenId longest = -1;
  mask_.for_each([&](TokenId id) {
    if (longest < 0 || bytes(id).size() > bytes(longest).size()) longest = id;
  });
  if (longest < 0) return -1;
  bool in_line = true;
  mask_.for_each([&](TokenId id) { in_line = in_line && bytes(longest).starts_with(bytes(id)); });
  return in_line && matcher_.is_only_way(bytes(longest)) ? longest : -1;
}

}  // namespace maru::grammar
