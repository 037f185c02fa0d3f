// engine/engine.h - runs many generations and scores on one model, one batch at a time.
//
// link/engine_host.cc owns one on the engine thread: submit and cancel what arrived, then step()
// until there is nothing to do. Each accepted job ends with exactly one of Done, ScoreDone and
// Failed. It must not know: sockets, prompts as text, users.
//
// One step: admit what fits, plan a batch (scheduler.h), one forward pass, then sample or score
// each sequence's rows and emit its events. A prompt whose beginning was evaluated before starts
// from there (prefix_tree.h), and one whose beginning is being evaluated waits for it
// (prefix_claims.h). Tokens that are guessed are evaluated in the same pass as the one before them
// (prompt_lookup.h, draft_share.h); what was drawn decides which of them stand, so that an answer
// is the same with guesses and without. Where the model has recurrent states, each running sequence
// holds one, and the tree keeps a copy of it as it was at the last block border of its prompt: that
// is where the next prompt of a chat, or the same one again, goes on from. Threads: one; events are
// emitted inside of submit, cancel and step.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "engine/archive.h"
#include "engine/block_pool.h"
#include "engine/check_job.h"
#include "engine/prefix_claims.h"
#include "engine/prefix_tree.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/stop_matcher.h"
#include "engine/token_table.h"
#include "model/model.h"

namespace maru::engine {

// For each running sequence: its own state, and one to keep.
inline constexpr size_t kStatesPerSequence = 2;

struct EngineOptions {
  size_t n_ctx = 0;     // longest sequence
  size_t n_blocks = 0;  // of the KV pool; at least n_ctx needs
  size_t n_states = 0;  // of the state pool; at least kStatesPerSequence where the model has states
  size_t n_running_max = 64;
  size_t n_waiting_max = 512;
  // Of one user, so that the queue of one is not the end of the others'.
  size_t n_running_user_max = SIZE_MAX;
  size_t n_waiting_user_max = 256;
  // Guesses tokens from what a sequence has said before and evaluates several at once. Changes no
  // answer; not for models with states.
  bool guesses = true;
  // What each adapter of the model is known by where KV is kept: its file's SHA-256.
  std::vector<std::string> adapter_keys = {};
  const kernels::KernelTable* kernels = kernels::available_kernels().back();
};

struct EngineTotals {
  size_t n_running = 0;
  size_t n_waiting = 0;
  size_t n_blocks = 0;
  size_t n_blocks_free = 0;  // or kept for later prompts only, so that they can be taken
  // Since the start.
  uint64_t n_tokens_prompt = 0;  // evaluated
  uint64_t n_tokens_cached = 0;  // of prompts, that were not evaluated again
  uint64_t n_tokens_generated = 0;
  uint64_t n_tokens_guessed = 0;  // and evaluated
  uint64_t n_guesses_right = 0;   // of them, those that became tokens of answers
  uint64_t n_cancelled = 0;
  uint64_t n_refused = 0;              // because too many waited
  uint64_t n_stepped_back = 0;         // times that a sequence made room for others
  uint64_t n_blocks_saved = 0;         // of conversations, to disk
  uint64_t n_blocks_brought_back = 0;  // from there
  uint64_t n_steps = 0;
  uint64_t n_step_tokens = 0;     // evaluated by all steps
  uint64_t n_step_sequences = 0;  // that took part in a step, of all steps
};

struct StepSeconds;

class Engine {
 public:
  using Sink = std::function<void(SequenceId, Event)>;

  // Requires: model, tokens and clock outlive this.
  // Errors: kResourceExhausted where the KV memory cannot be had.
  static Result<std::unique_ptr<Engine>> create(model::Model& model, const TokenTable& tokens,
                                                const Clock& clock, const EngineOptions& options,
                                                Sink sink);
  ~Engine();

  // From now on conversations that ended are saved there, and go on from there. Not for models with
  // states. Requires: nothing was submitted yet; the cache's blocks are as large as the model's.
  void keep_on_disk(std::unique_ptr<DiskCache> disk);

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
  bool enqueue(std::unique_ptr<Sequence> sequence, Entry entry);
  void admit();
  std::optional<size_t> shared_blocks(Sequence& sequence);
  bool is_brought_back(Sequence& sequence);
  void start(Sequence& sequence);
  void step_back(Sequence& sequence);
  std::vector<Work> plan();
  void add_guesses(std::vector<Work>& batch);
  void reuse_prefix(Sequence& sequence);
  void keep_progress(Sequence& sequence);
  void release_claims(Sequence& sequence, size_t n_keys);
  double retry_after_seconds() const;
  BlockId take_block();
  StateId take_state();
  void forward(const std::vector<Work>& batch);
  model::WantedLogits wanted(Sequence& sequence, size_t n_guesses);
  void adapt_budget(double seconds, size_t n_tokens, const StepSeconds& wanted);
  size_t generate(Sequence& sequence, std::span<float> rows);
  void draw(Sequence& sequence, std::span<float> logits);
  bool append(Sequence& sequence, TokenId token, Delta& delta);
  void check_guess(Sequence& sequence, TokenId token);
  bool append_forced(Sequence& sequence, Delta& delta);
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
  const bool makes_guesses_;
  std::vector<TokenId> eog_;  // of the vocabulary
  Sink sink_;
  std::unique_ptr<model::KvStore> kv_;
  BlockPool pool_;
  BlockPool states_;  // empty where the model has no states
  PrefixTree tree_;
  PrefixClaims claims_;
  std::unique_ptr<Archive> archive_;  // null: nothing is kept on disk
  size_t n_bring_back_left_ = 0;      // blocks, in this step
  bool is_bringing_back_ = false;     // somebody waits for the rest
  Scheduler scheduler_;
  Sampler::Scratch scratch_;
  std::map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<float> logits_;
  size_t n_step_tokens_;           // what a step may evaluate; follows the machine's speed
  double admission_seconds_ = 0;   // from one admission to the next while some wait, on average
  int64_t last_admission_ns_ = 0;  // 0: nobody waited since
  size_t n_refused_in_row_ = 0;    // since the last admission
  EngineTotals totals_;
};

}  // namespace maru::engine
