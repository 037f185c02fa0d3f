// engine/embedder.h - turns texts into vectors, several of them at once.
//
// link/engine_host.cc owns one on the engine thread, beside the Engine where the model makes text
// too: submit and cancel what arrived, then step() until there is nothing to do. Each accepted job
// ends with exactly one of EmbedDone and Failed. It must not know: sockets, texts, users.
//
// Nothing is kept from one text to the next, so there are no blocks and no scheduler: a step takes
// the text that waits longest and, of those behind it, in their order, whatever still fits into a
// number of tokens, so that short texts fill what a long one leaves free. What shares a step shares
// the reading of the weights and not one bit of the result (model/embedding.h).
// Threads: one; events are emitted inside of submit, cancel and step.
#pragma once
#include <deque>
#include <functional>
#include <vector>

#include "engine/check_job.h"
#include "engine/request.h"
#include "model/embedding.h"

namespace maru::engine {

// Texts that wait; more are refused.
inline constexpr size_t kEmbedWaitingMax = 4096;
inline constexpr size_t kEmbedWaitingTokensMax = size_t{1} << 22;  // of all of them

struct EmbedderTotals {
  size_t n_waiting = 0;
  uint64_t n_tokens = 0;  // evaluated since the start
  uint64_t n_cancelled = 0;
};

class Embedder {
 public:
  using Sink = std::function<void(SequenceId, Event)>;

  // Requires: model outlives this; 1 <= n_ctx <= the model's n_ctx_train.
  Embedder(model::EmbeddingModel& model, size_t n_ctx, Sink sink);

  // Refusals arrive as Failed. Requires: no other job has this id.
  void submit(SequenceId id, EmbedJob job);
  // Ends a job that waits with Failed kCancelled. Unknown ids are ignored.
  void cancel(SequenceId id);
  // One call of the model. False where there was nothing to do.
  bool step();

  EmbedderTotals totals() const;

 private:
  struct Waiting {
    SequenceId id = 0;
    EmbedJob job;
  };

  std::vector<Waiting> take_batch();
  void answer(const Waiting& waiting, std::span<const float> rows);

  model::EmbeddingModel& model_;
  const size_t n_ctx_;
  Sink sink_;
  std::deque<Waiting> waiting_;
  size_t n_tokens_waiting_ = 0;
  std::vector<float> rows_;  // of the step: [n_tokens, d_model]; grows to the largest
  EmbedderTotals totals_;
};

}  // namespace maru::engine
