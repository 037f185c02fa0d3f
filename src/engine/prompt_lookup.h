// engine/prompt_lookup.h - guesses how a sequence goes on from what it has said before.
//
// Answers copy: the code that is to be edited, the names in a document, the answer's own lists.
// Where the last tokens stand earlier in the prompt, in the answer or in a text that the caller
// expects (`prediction`), what followed there is guessed to follow here. Engine has one for each
// generation and evaluates the guesses beside the token that it must evaluate anyway
// (docs/speculation.md). Guesses cost nearly nothing, so each is compared with what came, whether
// it was evaluated or not: from that it knows how likely the next one is right.
// It must not know: models, blocks, time. Threads: one owner.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace maru::engine {

class PromptLookup {
 public:
  // As many tokens must be the same before anything is guessed.
  static constexpr size_t kKeyTokens = 2;
  // The longest beginning that is compared, and the places that are.
  static constexpr size_t kMatchTokensMax = 32;
  static constexpr size_t kPlacesMax = 16;

  struct Guess {
    std::span<const TokenId> tokens;  // valid until the next call
    // chances[i]: how likely tokens[0..i] are all right, falling.
    std::span<const double> chances;
    bool is_predicted = false;  // they stand in the prediction
  };

  explicit PromptLookup(std::span<const TokenId> prediction = {});

  // Takes in what the sequence has more than at the last call.
  void follow(std::span<const TokenId> sequence);
  // What may follow: at most n_max tokens, up to where they are less likely than `least`.
  Guess guess(size_t n_max, double least);

 private:
  // How often guesses behind so long a match were right lately.
  static constexpr std::array<size_t, 3> kMatchClasses = {3, 6, 16};  // where the next one begins
  using Rates = std::array<double, kMatchClasses.size() + 1>;

  static size_t class_of(size_t n_match);
  void add(TokenId token);
  void index(size_t end);
  size_t head_of(size_t end) const;
  size_t match_before(size_t end) const;

  // All that is known: the prediction, a border that equals no token, the sequence.
  std::vector<TokenId> text_;
  size_t n_prediction_;
  // Places in text_ behind kKeyTokens tokens, newest first: by their hash, then by the place. 0: no
  // more.
  std::vector<uint32_t> heads_;
  std::vector<uint32_t> older_;
  // The guess that is followed: text_[next_] should come next, behind n_match_ equal tokens. 0:
  // none.
  size_t next_ = 0;
  size_t n_match_ = 0;
  Rates rates_;
  std::vector<TokenId> tokens_;
  std::vector<double> chances_;
};

}  // namespace maru::engine
