#include "engine/token_table.h"

#include "text/tokenizer.h"

namespace maru::engine {

TokenTable::TokenTable(const std::vector<Token>& tokens) {
  for (const Token& token : tokens) {
    arena_ += token.bytes;
    add(token.is_control, token.is_eog);
  }
}

TokenTable::TokenTable(const text::Tokenizer& tokenizer,
                       const std::function<bool(std::string_view)>& is_text) {
  end_.reserve(tokenizer.n_vocab());
  flags_.reserve(tokenizer.n_vocab());
  for (size_t i = 0; i < tokenizer.n_vocab(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const size_t begin = arena_.size();
    tokenizer.append_decoded(id, true, arena_);
    const bool is_control = tokenizer.is_control(id);
    const bool is_eog = tokenizer.is_eog(id);
    const bool is_kept =
        is_control && !is_eog && is_text && is_text(std::string_view(arena_).substr(begin));
    add(is_control && !is_kept, is_eog);
  }
}

void TokenTable::add(bool is_control, bool is_eog) {
  end_.push_back(arena_.size());
  flags_.push_back(static_cast<uint8_t>((is_control ? kControl : 0) | (is_eog ? kEog : 0)));
}

std::string_view TokenTable::bytes(TokenId id) const {
  const auto i = static_cast<size_t>(id);
  if (i >= end_.size()) return {};
  const size_t begin = i == 0 ? 0 : end_[i - 1];
  return std::string_view(arena_).substr(begin, end_[i] - begin);
}

}  // namespace maru::engine
