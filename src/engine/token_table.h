// engine/token_table.h - what the engine knows of each token id: its bytes, and whether it ends a
// generation.
//
// Made once at load from the Tokenizer; simulations make it by hand. Threads: immutable.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace maru::text {
class Tokenizer;
}

namespace maru::engine {

class TokenTable {
 public:
  struct Token {
    std::string bytes;
    bool is_control = false;  // its bytes are no part of an answer's text
    bool is_eog = false;
  };
  explicit TokenTable(const std::vector<Token>& tokens);
  // is_text: which control tokens are part of an answer's text all the same, unless they end it;
  // null: none.
  TokenTable(const text::Tokenizer& tokenizer,
             const std::function<bool(std::string_view)>& is_text);

  size_t size() const { return flags_.size(); }
  // Control tokens are written out. Empty for ids that the vocabulary does not have: some models
  // have more rows than tokens.
  std::string_view bytes(TokenId id) const;
  std::string_view text(TokenId id) const { return is_control(id) ? "" : bytes(id); }
  bool is_control(TokenId id) const { return (flags(id) & kControl) != 0; }
  bool is_eog(TokenId id) const { return (flags(id) & kEog) != 0; }

 private:
  static constexpr uint8_t kControl = 1;
  static constexpr uint8_t kEog = 2;

  // The bytes are in arena_ already.
  void add(bool is_control, bool is_eog);
  uint8_t flags(TokenId id) const {
    return static_cast<size_t>(id) < flags_.size() ? flags_[static_cast<size_t>(id)] : 0;
  }

  std::string arena_;           // all bytes, one token after another
  std::vector<size_t> end_;     // of token i in arena_
  std::vector<uint8_t> flags_;  // of token i
};

}  // namespace maru::engine
