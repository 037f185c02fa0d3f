#include "engine/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "model/model.h"

namespace maru::engine {
namespace {

size_t blocks_of(const Entry& entry) {
  return (entry.n_tokens_end + model::kBlockTokens - 1) / model::kBlockTokens;
}

size_t n_left(const Entry& entry) { return entry.n_tokens - entry.n_computed; }

}  // namespace

bool Scheduler::enqueue(const Entry& entry) {
  CHECK(entry.n_tokens >= 1 && entry.n_tokens <= entry.n_tokens_end);
  CHECK(entry.n_chunk_max >= 1 && entry.n_computed == 0 && entry.n_cut < entry.n_tokens);
  CHECK(blocks_of(entry) <= limits_.n_blocks);
  if (waiting_.size() >= limits_.n_waiting_max) return false;
  waiting_.push_back(entry);
  return true;
}

std::optional<SequenceId> Scheduler::admit() {
  if (waiting_.empty() || running_.size() >= limits_.n_running_max) return std::nullopt;
  const Entry& first = waiting_.front();
  if (blocks_of(first) > limits_.n_blocks - n_blocks_promised_) return std::nullopt;
  n_blocks_promised_ += blocks_of(first);
  running_.push_back(first);
  waiting_.pop_front();
  return running_.back().id;
}

void Scheduler::skip(SequenceId id, size_t n) {
  Entry& entry = running(id);
  CHECK(entry.n_computed == 0 && n < entry.n_tokens);
  entry.n_computed = n;
}

std::vector<Work> Scheduler::plan(size_t n_tokens_max) const {
  const auto n_decodes = static_cast<size_t>(
      std::ranges::count_if(running_, [](const Entry& entry) { return n_left(entry) == 1; }));
  size_t n_prefill = std::max(kPrefillTokensMin, n_tokens_max - std::min(n_decodes, n_tokens_max));
  std::vector<Work> work;
  for (const Entry& entry : running_) {
    if (n_left(entry) == 1) {
      work.push_back({entry.id, 1});
      continue;
    }
    size_t n = std::min({n_left(entry), entry.n_chunk_max, n_prefill});
    if (entry.n_computed < entry.n_cut) n = std::min(n, entry.n_cut - entry.n_computed);
    n_prefill -= n;
    if (n > 0) work.push_back({entry.id, n});
  }
  return work;
}

void Scheduler::advance(const Work& work, size_t n_new) {
  Entry& entry = running(work.id);
  CHECK(work.n_tokens <= n_left(entry));
  entry.n_computed += work.n_tokens;
  entry.n_tokens += n_new;
  CHECK(entry.n_tokens <= entry.n_tokens_end);
}

void Scheduler::remove(SequenceId id) {
  std::erase_if(waiting_, [id](const Entry& entry) { return entry.id == id; });
  std::erase_if(running_, [&](const Entry& entry) {
    if (entry.id != id) return false;
    n_blocks_promised_ -= blocks_of(entry);
    return true;
  });
}

Entry& Scheduler::running(SequenceId id) {
  const auto found = std::ranges::find(running_, id, &Entry::id);
  CHECK(found != running_.end());
  return *found;
}

void Scheduler::check_integrity() const {
  size_t n_promised = 0;
  for (const Entry& entry : running_) {
    n_promised += blocks_of(entry);
    CHECK(entry.n_computed < entry.n_tokens && entry.n_tokens <= entry.n_tokens_end);
  }
  CHECK(n_promised == n_blocks_promised_ && n_promised <= limits_.n_blocks);
  CHECK(running_.size() <= limits_.n_running_max && waiting_.size() <= limits_.n_waiting_max);
}

}  // namespace maru::engine
