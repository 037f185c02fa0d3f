// engine/engine.h - runs many generations and scores on one model, one batch at a time.
//
// link/engine_host.cc owns one on the engine thread: submit and cancel what arrived, then step()
// until there is nothing to do. Each accepted job ends with exactly one of Done, ScoreDone and
// Failed. It must not know: sockets, prompts as text, users.
//
// One step: admit what fits, plan a batch (scheduler.h), one forward pass, then sample or score
// each sequence's rows and emit its events. A prompt whose beginning was evaluated before starts
// from there (prefix_cache.h). Where the model has recurrent states, each running sequence holds
// one, and a copy of it as it was at the last block border of its prompt: that is where the next
// prompt of a chat, or the same one again, goes on from. Threads: one; events are emitted inside of
// submit, cancel and step.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "engine/block_pool.h"
#include "engine/check_job.h"
#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/stop_matcher.h"
#include "engine/token_table.h"
#include "model/model.h"

namespace maru::engine {

// What a running sequence may hold: its own state and that of the border.
inline constexpr size_t kStatesPerSequence = 2;

struct EngineOptions {
  size_t n_ctx = 0;     // longest sequence
  size_t n_blocks = 0;  // of the KV pool; at least n_ctx needs
  size_t n_states = 0;  // of the state pool; at least kStatesPerSequence where the model has states
  size_t n_running_max = 32;
  size_t n_waiting_max = 512;
  const kernels::KernelTable* kernels = kernels::available_kernels().back();
};

struct EngineTotals {
  size_t n_running = 0;
  size_t n_waiting = 0;
  size_t n_blocks = 0;
  size_t n_blocks_free = 0;  // or held by ended sequences only, so that they can be taken
  uint64_t n_tokens_prompt = 0;
  uint64_t n_tokens_generated = 0;
  uint64_t n_cancelled = 0;
};

class Engine {
 public:
  using Sink = std::function<void(SequenceId, Event)>;

  // Requires: model, tokens and clock outlive this.
  // Errors: kResourceExhausted where the KV memory cannot be had.
  static Result<std::unique_ptr<Engine>> create(model::Model& model, const TokenTable& tokens,
                                                const Clock& clock, const EngineOptions& options,
                                                Sink sink);
  ~Engine();

  // Refusals arrive as Failed. Requires: no other job has this id.
  void submit(SequenceId id, GenerateJob job);
  void submit(SequenceId id, ScoreJob job);
  // Ends a generation with Done kCancelled, a score with Failed kCancelled. Unknown ids are
  // ignored.
  void cancel(SequenceId id);
  // One batch. False where there was nothing to do.
  bool step();

  EngineTotals totals() const;
  // Aborts where blocks, promises or states contradict each other.
  void check_integrity() const;

 private:
  struct Sequence;

  Engine(model::Model& model, std::unique_ptr<model::KvStore> kv, const TokenTable& tokens,
         const Clock& clock, const EngineOptions& options, Sink sink);
  bool enqueue(std::unique_ptr<Sequence> sequence, size_t n_chunk_max);
  void admit();
  void reuse_prefix(Sequence& sequence);
  BlockId take_block();
  StateId take_state();
  void keep_border_state(Sequence& sequence);
  void forward(const std::vector<Work>& batch);
  void adapt_budget(double seconds, size_t n_tokens, bool alone);
  void generate(Sequence& sequence, std::span<float> logits);
  void score(Sequence& sequence, std::span<const float> rows, size_t n_rows);
  TokenLogprob make_logprob(const Sampler::Draw& draw) const;
  void finish(Sequence& sequence, FinishReason reason);
  void fail(Sequence& sequence, Error error);
  void end(Sequence& sequence, Event last);
  double seconds_since(int64_t begin_ns) const;

  model::Model& model_;
  const TokenTable& tokens_;
  const Clock& clock_;
  const EngineOptions options_;
  const size_t n_vocab_;
  Sink sink_;
  std::unique_ptr<model::KvStore> kv_;
  BlockPool pool_;
  BlockPool states_;  // empty where the model has no states
  PrefixCache cache_;
  Scheduler scheduler_;
  Sampler::Scratch scratch_;
  std::map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<float> logits_;
  size_t n_step_tokens_;  // what a step may evaluate; follows the machine's speed
  EngineTotals totals_;
};

}  // namespace maru::engine
