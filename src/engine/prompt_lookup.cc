#include "engine/prompt_lookup.h"

#include <algorithm>

#include "base/check.h"

namespace maru::engine {
namespace {

constexpr TokenId kBorder = -1;
constexpr size_t kHeadsMin = 256;  // a power of two
// Rates before anything was seen, and the weight of one that is.
constexpr std::array<double, 4> kFirstRates = {0.3, 0.5, 0.75, 0.9};
constexpr double kNewWeight = 1.0 / 16;

}  // namespace

PromptLookup::PromptLookup(std::span<const TokenId> prediction)
    : n_prediction_(prediction.size()), heads_(kHeadsMin, 0), rates_(kFirstRates) {
  for (const TokenId token : prediction) add(token);
  add(kBorder);
}

size_t PromptLookup::class_of(size_t n_match) {
  return static_cast<size_t>(std::ranges::upper_bound(kMatchClasses, n_match) -
                             kMatchClasses.begin());
}

size_t PromptLookup::head_of(size_t end) const {
  uint64_t hash = 0;
  for (size_t i = end - kKeyTokens; i < end; ++i) {
    hash = (hash ^ static_cast<uint32_t>(text_[i])) * 0x9E3779B97F4A7C15u;
  }
  return (hash >> 32) & (heads_.size() - 1);
}

void PromptLookup::index(size_t end) {
  if (end < kKeyTokens) return;
  uint32_t& head = heads_[head_of(end)];
  older_[end] = head;
  head = static_cast<uint32_t>(end);
}

// A place is indexed once something stands there.
void PromptLookup::add(TokenId token) {
  older_.push_back(0);
  if (text_.size() > heads_.size()) {
    heads_.assign(2 * heads_.size(), 0);
    for (size_t end = 0; end < text_.size(); ++end) index(end);
  }
  index(text_.size());
  text_.push_back(token);
}

void PromptLookup::follow(std::span<const TokenId> sequence) {
  const size_t n_known = text_.size() - n_prediction_ - 1;
  CHECK(n_known <= sequence.size());
  for (const TokenId token : sequence.subspan(n_known)) {
    if (next_ != 0 && text_[next_] != kBorder) {
      const bool is_right = text_[next_] == token;
      double& rate = rates_[class_of(n_match_)];
      rate += ((is_right ? 1 : 0) - rate) * kNewWeight;
      next_ = is_right ? next_ + 1 : 0;
      ++n_match_;
    } else {
      next_ = 0;
    }
    add(token);
  }
}

// How many tokens before `end` are as at the end of the text; fewer than kKeyTokens: another hash.
size_t PromptLookup::match_before(size_t end) const {
  size_t n = 0;
  while (n < std::min(end, kMatchTokensMax) && text_[end - 1 - n] == text_[text_.size() - 1 - n])
    ++n;
  return n;
}

PromptLookup::Guess PromptLookup::guess(size_t n_max, double least) {
  tokens_.clear();
  chances_.clear();
  const size_t size = text_.size();
  if (size - n_prediction_ - 1 < kKeyTokens) return {};
  // One that was right goes on, unless there is a longer match.
  if (next_ != 0 && text_[next_] == kBorder) next_ = 0;
  n_match_ = next_ == 0 ? 0 : std::min(n_match_, kMatchTokensMax);
  uint32_t place = heads_[head_of(size)];
  for (size_t i = 0; i < kPlacesMax && place != 0; ++i, place = older_[place]) {
    const size_t n = match_before(place);
    // Of equals the newest, but what the caller expects before all.
    if (n < kKeyTokens || n < n_match_ || (n == n_match_ && place >= n_prediction_)) continue;
    if (text_[place] == kBorder) continue;
    next_ = place;
    n_match_ = n;
  }
  if (next_ == 0) return {};
  double chance = 1;
  for (size_t i = 0; i < n_max; ++i) {
    // Behind the end of the text the guess goes on with itself: what repeats goes on repeating.
    const TokenId token = next_ + i < size ? text_[next_ + i] : tokens_[next_ + i - size];
    chance *= rates_[class_of(n_match_ + i)];
    if (token == kBorder || chance < least) break;
    tokens_.push_back(token);
    chances_.push_back(chance);
  }
  return {tokens_, chances_, next_ < n_prediction_};
}

}  // namespace maru::engine
