#include "engine/held_answer.h"

namespace maru::engine {
namespace {

Error limit_met() {
  return Error::exhausted(
      "the answer's grammar is too complex to follow this answer further; see docs/grammars.md");
}

}  // namespace

std::shared_ptr<const grammar::Vocabulary> answer_vocabulary(const TokenTable& tokens) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    texts.emplace_back(tokens.is_eog(id) ? "" : tokens.text(id));
  }
  return std::make_shared<const grammar::Vocabulary>(std::move(texts));
}

HeldAnswer::HeldAnswer(std::shared_ptr<grammar::CompiledGrammar> grammar,
                       std::span<const TokenId> eog, bool ignore_eos)
    : constraint_(std::move(grammar)), eog_(eog), ignore_eos_(ignore_eos) {}

Result<std::span<const uint64_t>> HeldAnswer::allowed() {
  if (is_mask_known_) return mask_.words();
  const grammar::TokenMask* mask = constraint_.mask();
  if (mask == nullptr) return limit_met();
  mask_ = *mask;
  const bool nothing = mask_.empty();
  if (constraint_.may_end() && (nothing || !ignore_eos_)) {
    for (const TokenId id : eog_) mask_.add(id);
  } else if (nothing) {
    return Error::unsupported("this model has no token for what the grammar asks for next");
  }
  is_mask_known_ = true;
  return mask_.words();
}

Result<void> HeldAnswer::accept(TokenId token) {
  is_mask_known_ = false;
  if (!constraint_.accept(token)) return limit_met();
  return {};
}

bool HeldAnswer::is_complete() {
  if (!constraint_.may_end()) return false;
  const grammar::TokenMask* mask = constraint_.mask();
  return mask != nullptr && mask->empty();
}

}  // namespace maru::engine
