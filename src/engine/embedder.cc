#include "engine/embedder.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace maru::engine {
namespace {

// Tokens of one step, unless its first text is longer: each weight is read once for so many (see
// model/pass.h), and what else the engine has to do waits no longer than for them.
constexpr size_t kStepTokensMax = 256;

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

}  // namespace

Embedder::Embedder(model::EmbeddingModel& model, size_t n_ctx, Sink sink)
    : model_(model), n_ctx_(n_ctx), sink_(std::move(sink)) {
  CHECK(n_ctx >= 1 && n_ctx <= model.info().n_ctx_train);
}

void Embedder::submit(SequenceId id, EmbedJob job) {
  if (auto checked = check_job(job, model_.info().n_vocab, n_ctx_); !checked.ok()) {
    return sink_(id, Failed{checked.error()});
  }
  if (job.pooling == model::Pooling::kNone) job.pooling = model_.pooling();
  if (job.pooling == model::Pooling::kNone) {
    return sink_(id, Failed{Error::invalid("this model does not say how the vectors of its tokens "
                                           "become one; choose mean, cls or last",
                                           "pooling")});
  }
  const size_t n_tokens = n_tokens_waiting_ + job.ids.size();
  if (waiting_.size() >= kEmbedWaitingMax || n_tokens > kEmbedWaitingTokensMax) {
    return sink_(id, Failed{Error::exhausted("too many texts wait for this model already")});
  }
  n_tokens_waiting_ = n_tokens;
  waiting_.push_back({id, std::move(job)});
}

void Embedder::cancel(SequenceId id) {
  const auto found = std::ranges::find(waiting_, id, &Waiting::id);
  if (found == waiting_.end()) return;
  ++totals_.n_cancelled;
  n_tokens_waiting_ -= found->job.ids.size();
  waiting_.erase(found);
  sink_(id, Failed{Error{ErrorCode::kCancelled, "the embedding was cancelled", {}}});
}

// The oldest, and those behind it that fit into the step.
std::vector<Embedder::Waiting> Embedder::take_batch() {
  std::vector<Waiting> batch;
  size_t n_tokens = 0;
  std::erase_if(waiting_, [&](Waiting& waiting) {
    const size_t n = waiting.job.ids.size();
    if (!batch.empty() && n_tokens + n > kStepTokensMax) return false;
    n_tokens += n;
    batch.push_back(std::move(waiting));
    return true;
  });
  n_tokens_waiting_ -= n_tokens;
  return batch;
}

bool Embedder::step() {
  const std::vector<Waiting> batch = take_batch();
  if (batch.empty()) return false;
  std::vector<model::EmbedText> texts;
  size_t n_tokens = 0;
  for (const Waiting& waiting : batch) {
    texts.push_back({waiting.job.ids, waiting.job.n_first});
    n_tokens += waiting.job.ids.size();
  }
  const size_t d_model = model_.info().d_model;
  if (rows_.size() < n_tokens * d_model) rows_.resize(n_tokens * d_model);
  auto rows = std::span(rows_).first(n_tokens * d_model);
  const auto embedded = model_.embed(texts, rows);
  if (embedded.ok()) totals_.n_tokens += n_tokens;
  for (const Waiting& waiting : batch) {
    if (embedded.ok()) {
      const size_t n_values = waiting.job.ids.size() * d_model;
      answer(waiting, rows.first(n_values));
      rows = rows.subspan(n_values);
    } else {
      sink_(waiting.id, Failed{embedded.error()});
    }
  }
  return true;
}

void Embedder::answer(const Waiting& waiting, std::span<const float> rows) {
  const size_t d_model = model_.info().d_model;
  EmbedDone done{.values = std::vector<float>(d_model), .n_prompt = waiting.job.ids.size()};
  if (waiting.job.pooling == model::Pooling::kRank) {
    done.values = {model_.rank_head()->score(rows.first(d_model))};
  } else {
    model::pool_rows(waiting.job.pooling, rows, done.values);
  }
  if (!all_finite(waiting.job.want_tokens ? rows : std::span<const float>(done.values))) {
    return sink_(waiting.id, Failed{Error::corrupt("the model gave no usable numbers; its file may "
                                                   "be damaged")});
  }
  if (waiting.job.normalize) model::normalize(done.values);
  for (size_t i = 0; waiting.job.want_tokens && i < done.n_prompt; ++i) {
    const auto row = rows.subspan(i * d_model, d_model);
    sink_(waiting.id, EmbedRow{std::vector<float>(row.begin(), row.end())});
  }
  sink_(waiting.id, std::move(done));
}

EmbedderTotals Embedder::totals() const {
  EmbedderTotals totals = totals_;
  totals.n_waiting = waiting_.size();
  return totals;
}

}  // namespace maru::engine
