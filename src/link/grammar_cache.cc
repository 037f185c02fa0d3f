#include "link/grammar_cache.h"

#include <algorithm>

#include "link/messages.h"

namespace maru::link {

Result<std::shared_ptr<grammar::CompiledGrammar>> GrammarCache::get(
    const grammar::GrammarSpec& spec, const engine::TokenTable& tokens) {
  std::erase_if(kept_, [](const Kept& kept) { return kept.grammar->is_spent(); });
  const auto found = std::ranges::find(kept_, spec, &Kept::spec);
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return found->grammar;
  }
  if (vocabulary_ == nullptr) vocabulary_ = engine::answer_vocabulary(tokens);
  auto grammar = grammar::CompiledGrammar::make(spec, vocabulary_);
  if (!grammar.ok()) {
    Error error = std::move(grammar).error();
    if (error.param.empty()) error.param = kGrammarParam;
    return error;
  }
  kept_.push_front({spec, *grammar});
  forget_old();
  return grammar;
}

void GrammarCache::forget_old() {
  size_t n_bytes = 0;
  for (const Kept& kept : kept_) n_bytes += kept.grammar->n_bytes() + kept.spec.n_bytes();
  while (kept_.size() > 1 && (n_bytes > kGrammarCacheBytesMax || kept_.size() > kGrammarCacheMax)) {
    n_bytes -= std::min(n_bytes, kept_.back().grammar->n_bytes());
    kept_.pop_back();
  }
}

}  // namespace maru::link
