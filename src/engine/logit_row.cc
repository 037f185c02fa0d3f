#include "engine/logit_row.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "base/check.h"

namespace maru::engine {

using kernels::kLogitBlock;

LogitRow::Scratch::Scratch(size_t n_vocab) {
  const size_t n_blocks = (n_vocab + kLogitBlock - 1) / kLogitBlock;
  maxima.reserve(n_blocks);
  sums.reserve(n_blocks);
  largest.reserve(n_blocks);
}

LogitRow::LogitRow(std::span<const float> logits, const kernels::OpsTable& ops, Scratch& scratch)
    : logits_(logits), ops_(ops), scratch_(scratch) {
  CHECK(!logits.empty());
  scratch_.maxima.resize((logits.size() + kLogitBlock - 1) / kLogitBlock);
  ops_.block_max(logits.data(), logits.size(), scratch_.maxima.data());
  best_ = *std::ranges::max_element(scratch_.maxima);
}

TokenId LogitRow::best_id() const {
  const auto block = std::ranges::find(scratch_.maxima, best_) - scratch_.maxima.begin();
  auto id = static_cast<size_t>(block) * kLogitBlock;
  const size_t end = std::min(id + kLogitBlock, logits_.size());
  while (id < end && logits_[id] != best_) ++id;
  return id < end ? static_cast<TokenId>(id) : 0;  // a row of nothing but NaN
}

// The n-th largest of the blocks' maxima: so many blocks hold a token as likely. What is gathered
// is cut back whenever it is twice as much as needed, and then fewer and fewer get in.
float LogitRow::bound_of_likeliest(size_t n) const {
  if (n == 0 || n > scratch_.maxima.size()) return kLowest;
  std::vector<float>& largest = scratch_.largest;
  const auto nth = [&] { return largest.begin() + static_cast<ptrdiff_t>(n - 1); };
  largest.clear();
  float bound = kLowest;
  for (const float maximum : scratch_.maxima) {
    if (!(maximum > bound)) continue;
    largest.push_back(maximum);
    if (largest.size() < 2 * n) continue;
    std::ranges::nth_element(largest, nth(), std::greater<>());
    largest.resize(n);
    bound = largest.back();
  }
  if (largest.size() < n) return kLowest;
  std::ranges::nth_element(largest, nth(), std::greater<>());
  return *nth();
}

double LogitRow::sum_weights(float scale) const {
  scratch_.sums.resize(scratch_.maxima.size());
  ops_.softmax_sums(logits_.data(), logits_.size(), best_, scale, scratch_.sums.data());
  double sum = 0;
  for (const float part : scratch_.sums) sum += part;
  return sum;
}

TokenId LogitRow::find_mass(double mass, float scale) const {
  CHECK(scratch_.sums.size() == scratch_.maxima.size());
  size_t found = 0;
  double left = mass;
  for (size_t block = 0; block < scratch_.sums.size(); ++block) {
    if (scratch_.sums[block] == 0) continue;
    found = block;
    left = mass;
    if (mass < scratch_.sums[block]) break;
    mass -= scratch_.sums[block];
  }
  std::array<float, kLogitBlock> weights;
  const size_t begin = found * kLogitBlock;
  const size_t n = std::min(kLogitBlock, logits_.size() - begin);
  ops_.softmax_weights(logits_.data() + begin, n, best_, scale, weights.data());
  size_t last = 0;
  for (size_t i = 0; i < n; ++i) {
    if (weights[i] == 0) continue;
    last = i;
    left -= weights[i];
    if (left < 0) break;
  }
  return static_cast<TokenId>(begin + last);
}

double LogitRow::log_sum_exp() const { return best_ + std::log(sum_weights(1.0f)); }

void LogitRow::top_logprobs(double log_sum, size_t n,
                            std::vector<std::pair<TokenId, float>>& out) const {
  out.clear();
  n = std::min(n, logits_.size());
  if (n == 0) return;
  for_at_least(bound_of_likeliest(n),
               [&](TokenId id, float logit) { out.emplace_back(id, logit); });
  std::ranges::partial_sort(
      out, out.begin() + static_cast<ptrdiff_t>(n), [](const auto& a, const auto& b) {
        return a.second > b.second || (a.second == b.second && a.first < b.first);
      });
  out.resize(n);
  for (auto& [id, logit] : out) logit = static_cast<float>(logit - log_sum);
}

}  // namespace maru::engine
