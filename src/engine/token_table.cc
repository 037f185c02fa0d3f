#include "engine/token_table.h"

#include "text/tokenizer.h"

namespace maru::engine {

TokenTable::TokenTable(const std::vector<Token>& tokens) {
  for (const Token& token : tokens) {
    arena_ += token.bytes;
    add(token.is_control, token.is_eog);
  }
}

TokenTable::TokenTable(const text::Tokenizer& tokenizer) {
  end_.reserve(tokenizer.n_vocab());
  flags_.reserve(tokenizer.n_vocab());
  for (size_t i = 0; i < tokenizer.n_vocab(); ++i) {
    const auto id = static_cast<TokenId>(i);
    tokenizer.append_decoded(id, true, arena_);
    add(tokenizer.is_control(id), tokenizer.is_eog(id));
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
