#include "engine/engine.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/draft_share.h"
#include "engine/held_answer.h"
#include "engine/prompt_lookup.h"

namespace maru::engine {

struct StepSeconds {
  double min;
  double max;
};

namespace {

using model::blocks_for;
using model::kBlockTokens;

// A step evaluates as many prompt tokens as take about this long: others' tokens, new requests and
// cancels wait for it. The results do not depend on it (batch invariance).
constexpr StepSeconds kStepSeconds = {0.1, 0.25};
// Where somebody's answer is among it: this is the pause between two of its tokens.
constexpr StepSeconds kStepSecondsStreaming = {0.08, 0.14};
// Where nobody else waits but a cancel: longer passes read the weights less often.
constexpr StepSeconds kStepSecondsAlone = {0.2, 0.45};
constexpr size_t kStepTokensFirst = 128;
constexpr size_t kStepTokensMin = 32;
constexpr size_t kStepTokensMultiple = 8;  // kernels take so many rows at once
constexpr size_t kStepTokensMax = 1024;

// From disk in one step, so that nobody waits longer for it than for a forward pass.
constexpr size_t kBringBackBytesMax = 64 << 20;
// To disk in one step, beside a forward pass and where there is nothing else to do.
constexpr size_t kSaveBlocks = 1;
constexpr size_t kSaveBlocksIdle = 8;

// Rows of a score per step: each needs all logits, 32 rows of 262,144 tokens are 32 MiB.
constexpr size_t kScoreRowsMax = 32;

// So many that each can hold the states it may need.
size_t running_max(const model::ModelInfo& info, const EngineOptions& options) {
  if (info.state_bytes == 0) return options.n_running_max;
  return std::min(options.n_running_max, options.n_states / kStatesPerSequence);
}

// A state that has seen a wrong guess cannot be taken back; and where each column reads experts of
// its own, columns are not cheap.
bool guesses_pay(const model::ModelInfo& info) {
  return info.state_bytes == 0 && 2 * info.bytes_per_token >= info.weight_bytes;
}

// KV of an adapter is no other's: a key of hexadecimal digits, and the salt behind a stroke.
std::string salt_of(const GenerateJob& job, const EngineOptions& options) {
  CHECK(job.adapter <= options.adapter_keys.size());
  return (job.adapter == 0 ? "" : options.adapter_keys[job.adapter - 1]) + "|" + job.cache_salt;
}

}  // namespace

// A job on its way. Exactly one of `sampler` and `score` is there.
struct Engine::Sequence {
  SequenceId id = 0;
  std::vector<TokenId> tokens;  // prompt, then what was generated
  std::vector<BlockId> blocks;  // hold the first n_computed tokens and what is planned
  size_t n_computed = 0;
  size_t n_prompt = 0;
  size_t n_tokens_end = 0;
  // Where the model has states.
  std::optional<StateId> state;  // while it runs; stands at n_computed
  size_t n_border = 0;           // the prompt's last block border; 0 = none
  // Of a generation.
  std::optional<Sampler> sampler;
  std::optional<StopMatcher> matcher;
  std::vector<std::string> stop;
  std::optional<HeldAnswer> held;  // where there is a grammar
  std::vector<TokenId> listed;     // memory of Sampler::wanted
  std::string cache_salt;          // the adapter's key in it
  model::AdapterId adapter = 0;
  bool keep_kv = true;
  WorkClass work_class = WorkClass::kInteractive;
  std::vector<PrefixClaims::Key> keys;  // of the prompt's blocks
  size_t n_keys_done = 0;               // of them, those that it claims no more
  size_t n_kept = 0;                    // tokens that the tree has of it
  size_t n_reused = 0;                  // tokens that others had evaluated
  Archive::Return from_disk;
  std::optional<PromptLookup> lookup;  // where tokens are guessed
  std::vector<TokenId> guesses;        // of this step, behind `tokens`
  bool is_predicted = false;           // they are from the prediction
  size_t n_before = 0;                 // tokens before this step's
  size_t n_right = 0;                  // of the guesses, those that were drawn
  bool ignore_eos = false;
  bool want_logprobs = false;
  bool want_progress = false;
  // Of a score.
  std::optional<ScoreJob> score;
  std::vector<double> nlls;
  // Times and counts.
  Usage usage;
  int64_t submitted_ns = 0;
  int64_t admitted_ns = 0;
  int64_t first_token_ns = 0;
  bool was_started = false;
  bool ended = false;
};

Result<std::unique_ptr<Engine>> Engine::create(model::Model& model, const TokenTable& tokens,
                                               const Clock& clock, const EngineOptions& options,
                                               Sink sink) {
  CHECK(options.n_ctx >= 2 && options.n_blocks >= blocks_for(options.n_ctx));
  CHECK(running_max(model.info(), options) >= 1);
  MARU_TRY(kv, model.make_kv_store(options.n_blocks, options.n_states));
  return std::unique_ptr<Engine>(
      new Engine(model, std::move(kv), tokens, clock, options, std::move(sink)));
}

Engine::Engine(model::Model& model, std::unique_ptr<model::KvStore> kv, const TokenTable& tokens,
               const Clock& clock, const EngineOptions& options, Sink sink)
    : model_(model),
      tokens_(tokens),
      clock_(clock),
      options_(options),
      n_vocab_(model.info().n_vocab),
      makes_guesses_(options.guesses && guesses_pay(model.info())),
      sink_(std::move(sink)),
      kv_(std::move(kv)),
      pool_(options.n_blocks),
      states_(model.info().state_bytes > 0 ? options.n_states : 0),
      tree_(pool_, states_, model.info().state_bytes > 0),
      scheduler_({.n_blocks = options.n_blocks,
                  .n_running_max = running_max(model.info(), options),
                  .n_waiting_max = options.n_waiting_max,
                  .n_running_user_max = options.n_running_user_max,
                  .n_waiting_user_max = options.n_waiting_user_max}),
      scratch_(n_vocab_, options.kernels->ops),
      n_step_tokens_(kStepTokensFirst) {
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens.is_eog(static_cast<TokenId>(id))) eog_.push_back(static_cast<TokenId>(id));
  }
}

Engine::~Engine() = default;

double Engine::seconds_since(int64_t begin_ns) const {
  return static_cast<double>(clock_.monotonic_ns() - begin_ns) / 1e9;
}

void Engine::keep_on_disk(std::unique_ptr<DiskCache> disk) {
  CHECK(sequences_.empty());
  if (states_.n_blocks() > 0) return;
  archive_ = std::make_unique<Archive>(std::move(disk), tree_, pool_, *kv_);
}

void Engine::submit(SequenceId id, GenerateJob job) {
  if (auto checked = check_job(job, n_vocab_, options_.n_ctx); !checked.ok()) {
    return sink_(id, Failed{checked.error()});
  }
  const size_t n_prompt = job.prompt.size();
  Started started{.n_prompt = n_prompt, .in_reasoning = job.in_reasoning};
  if (job.echo_prompt_ids) started.prompt_ids = job.prompt;
  if (job.max_tokens == 0) {
    sink_(id, std::move(started));
    return sink_(id, Done{.reason = FinishReason::kLength, .stop = {}, .usage = {n_prompt}});
  }
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->tokens = std::move(job.prompt);
  sequence->n_tokens_end = job.max_tokens ? n_prompt + *job.max_tokens : options_.n_ctx;
  sequence->sampler.emplace(job.sampling);
  sequence->matcher.emplace(job.stop);
  sequence->stop = std::move(job.stop);
  sequence->cache_salt = salt_of(job, options_);
  sequence->adapter = job.adapter;
  sequence->keep_kv = job.keep_kv;
  if (makes_guesses_) sequence->lookup.emplace(job.prediction);
  if (job.grammar != nullptr) sequence->held.emplace(job.grammar, eog_, job.ignore_eos);
  sequence->ignore_eos = job.ignore_eos;
  sequence->want_logprobs = job.sampling.want_logprobs;
  sequence->want_progress = job.want_progress;
  sequence->work_class = job.claim.work_class;
  sequence->keys = PrefixClaims::keys(sequence->tokens, sequence->cache_salt);
  sequence->n_keys_done = sequence->keys.size();
  Entry entry{.claim = std::move(job.claim), .n_chunk_max = kStepTokensMax};
  if (enqueue(std::move(sequence), std::move(entry))) sink_(id, std::move(started));
}

void Engine::submit(SequenceId id, ScoreJob job) {
  if (auto checked = check_job(job, n_vocab_, options_.n_ctx); !checked.ok()) {
    return sink_(id, Failed{checked.error()});
  }
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->tokens = std::move(job.ids);
  sequence->n_tokens_end = sequence->tokens.size();
  if (job.last == 0) job.last = sequence->tokens.size();
  sequence->score = std::move(job);
  enqueue(std::move(sequence), {.n_chunk_max = kScoreRowsMax, .is_fixed = true});
}

bool Engine::enqueue(std::unique_ptr<Sequence> sequence, Entry entry) {
  const SequenceId id = sequence->id;
  CHECK(!sequences_.contains(id));
  sequence->n_prompt = sequence->tokens.size();
  sequence->usage.n_prompt = sequence->n_prompt;
  if (states_.n_blocks() > 0 && !sequence->score) {  // below the last token, which is evaluated
    sequence->n_border = (sequence->n_prompt - 1) / kBlockTokens * kBlockTokens;
  }
  sequence->submitted_ns = clock_.monotonic_ns();
  entry.id = id;
  entry.n_tokens = sequence->n_prompt;
  entry.n_tokens_end = sequence->n_tokens_end;
  entry.n_cut = sequence->n_border;
  const auto answer = scheduler_.enqueue(entry, sequence->submitted_ns);
  if (answer != Scheduler::Answer::kAccepted) {
    ++totals_.n_refused;
    ++n_refused_in_row_;
    const char* who = answer == Scheduler::Answer::kTooManyWait
                          ? "too many requests wait for this model already"
                          : "too many of your requests wait for this model already";
    sink_(id, Failed{Error::exhausted(who), retry_after_seconds()});
    return false;
  }
  sequences_.emplace(id, std::move(sequence));
  return true;
}

void Engine::cancel(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  ++totals_.n_cancelled;
  Sequence& sequence = *found->second;
  if (sequence.score) {
    fail(sequence, {ErrorCode::kCancelled, "the score was cancelled", {}});
  } else {
    finish(sequence, FinishReason::kCancelled);
  }
  sequences_.erase(found);
}

bool Engine::step() {
  admit();
  std::vector<Work> batch = plan();
  if (batch.empty()) {
    return is_bringing_back_ || (archive_ != nullptr && archive_->save(kSaveBlocksIdle));
  }
  add_guesses(batch);
  size_t n_tokens = 0;
  for (const Work& work : batch) n_tokens += work.n_tokens + work.n_guesses;
  const int64_t begin_ns = clock_.monotonic_ns();
  forward(batch);
  const bool has_answers =
      std::ranges::any_of(batch, [](const Work& work) { return work.n_tokens == 1; });
  const StepSeconds wanted = batch.size() == 1 ? kStepSecondsAlone
                             : has_answers     ? kStepSecondsStreaming
                                               : kStepSeconds;
  adapt_budget(seconds_since(begin_ns), n_tokens, wanted);
  ++totals_.n_steps;
  totals_.n_step_tokens += n_tokens;
  totals_.n_step_sequences += batch.size();
  size_t row = 0;
  for (const Work& work : batch) {
    Sequence& sequence = *sequences_.at(work.id);
    sequence.n_computed += work.n_tokens;
    if (sequence.n_computed <= sequence.n_prompt) totals_.n_tokens_prompt += work.n_tokens;
    if (!sequence.score) keep_progress(sequence);
    const bool has_new = !sequence.score && sequence.n_computed == sequence.tokens.size();
    const size_t n_rows = sequence.score ? work.n_tokens : (has_new ? 1 + work.n_guesses : 0);
    const auto rows = std::span(logits_).subspan(row * n_vocab_, n_rows * n_vocab_);
    row += n_rows;
    const size_t n_before = sequence.tokens.size();
    size_t n_right = 0;
    if (sequence.score) {
      score(sequence, rows, n_rows);
    } else if (has_new) {
      n_right = generate(sequence, rows);
    } else if (sequence.want_progress && sequence.n_computed < sequence.n_prompt) {
      sink_(sequence.id, Progress{sequence.n_computed, sequence.usage.n_cached, sequence.n_prompt,
                                  seconds_since(sequence.admitted_ns)});
    }
    if (sequence.ended) {
      sequences_.erase(work.id);
    } else {
      scheduler_.advance(work, sequence.tokens.size() - n_before, n_right);
    }
  }
  if (archive_ != nullptr) archive_->save(kSaveBlocks);
  return true;
}

void Engine::admit() {
  const auto n_shared = [this](SequenceId id) { return shared_blocks(*sequences_.at(id)); };
  const int64_t now_ns = clock_.monotonic_ns();
  n_bring_back_left_ = kBringBackBytesMax / std::max<size_t>(1, model_.info().kv_block_bytes) + 1;
  is_bringing_back_ = false;
  while (const auto decision = scheduler_.decide(now_ns, pool_.n_available(), n_shared)) {
    Sequence& sequence = *sequences_.at(decision->id);
    decision->admit ? start(sequence) : step_back(sequence);
  }
  if (scheduler_.n_waiting() == 0) last_admission_ns_ = 0;
}

// Those that are held by others that run anyway. Empty where another computes what it needs.
std::optional<size_t> Engine::shared_blocks(Sequence& sequence) {
  if (sequence.score) return 0;
  auto keys = std::span(sequence.keys);
  if (states_.n_blocks() > 0) {  // only the state at the border helps
    const size_t n_border_blocks = sequence.n_border / kBlockTokens;
    keys = n_border_blocks > 0 ? keys.subspan(n_border_blocks - 1, 1) : keys.first(0);
  }
  if (claims_.any(keys, sequence.work_class)) return std::nullopt;
  if (!is_brought_back(sequence)) return std::nullopt;
  const auto wanted = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
  const PrefixTree::Match match = tree_.find(wanted, sequence.cache_salt);
  size_t n_shared = 0;
  for (size_t i = 0; i < match.n_tokens / kBlockTokens; ++i) {
    if (!pool_.is_idle(match.blocks[i])) ++n_shared;
  }
  return n_shared;
}

// Whether the tree has all that the disk has of it.
bool Engine::is_brought_back(Sequence& sequence) {
  if (archive_ == nullptr || sequence.from_disk.is_over) return true;
  const auto take = [this]() -> std::optional<BlockId> {
    if (pool_.n_free() == 0 && !tree_.evict()) return std::nullopt;
    return pool_.take();
  };
  const auto wanted = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
  archive_->bring_back(wanted, sequence.cache_salt, sequence.from_disk, n_bring_back_left_, take);
  if (sequence.from_disk.is_over) return true;
  is_bringing_back_ = true;
  return false;
}

void Engine::start(Sequence& sequence) {
  const int64_t now_ns = clock_.monotonic_ns();
  if (last_admission_ns_ != 0) {
    const double seconds = seconds_since(last_admission_ns_);
    admission_seconds_ = admission_seconds_ == 0 ? seconds : (7 * admission_seconds_ + seconds) / 8;
  }
  last_admission_ns_ = now_ns;
  n_refused_in_row_ = 0;
  if (sequence.admitted_ns == 0) {
    sequence.admitted_ns = now_ns;
    sequence.usage.queue_seconds = seconds_since(sequence.submitted_ns);
  }
  if (states_.n_blocks() > 0) sequence.state = take_state();
  if (!sequence.score) reuse_prefix(sequence);
}

// What it had evaluated stays in the tree, for itself above all.
void Engine::step_back(Sequence& sequence) {
  ++totals_.n_stepped_back;
  const auto evaluated = std::span(sequence.tokens).first(sequence.n_computed);
  if (!evaluated.empty()) tree_.insert(evaluated, sequence.cache_salt, sequence.blocks);
  if (sequence.state && !evaluated.empty()) {
    tree_.insert_state(evaluated, sequence.cache_salt, *sequence.state);
  } else if (sequence.state) {
    states_.release(*sequence.state);
  }
  sequence.state.reset();
  pool_.release(sequence.blocks);
  sequence.blocks.clear();
  sequence.n_computed = 0;
  sequence.n_kept = 0;
  release_claims(sequence, sequence.keys.size());
}

std::vector<Work> Engine::plan() {
  const int64_t now_ns = clock_.monotonic_ns();
  while (true) {
    std::vector<Work> batch = scheduler_.plan(n_step_tokens_, now_ns);
    const auto back = scheduler_.make_room(batch, pool_.n_available(), now_ns);
    if (!back) return batch;
    step_back(*sequences_.at(*back));
  }
}

// Where nothing but answers goes on: no prompt waits for a guess.
void Engine::add_guesses(std::vector<Work>& batch) {
  std::vector<std::span<const double>> chances;
  std::vector<PromptLookup::Guess> guesses;
  for (const Work& work : batch) {
    Sequence& sequence = *sequences_.at(work.id);
    const bool is_answer = sequence.usage.n_generated > 0 &&
                           sequence.n_computed + work.n_tokens == sequence.tokens.size();
    if (!is_answer || !sequence.lookup || batch.size() >= kColumnsTogether) return;
    sequence.lookup->follow(sequence.tokens);
    // One more token than the guesses is drawn.
    const size_t n_max = sequence.n_tokens_end - sequence.tokens.size() - 1;
    const auto guess = sequence.lookup->guess(std::min(n_max, kColumnsAlone - 1), kColumnCost);
    chances.push_back(guess.chances);
    guesses.push_back(guess);
  }
  const auto shares = share_drafts(chances, n_step_tokens_);
  for (size_t i = 0; i < batch.size(); ++i) {
    Work& work = batch[i];
    work.n_guesses = shares[i];
    if (scheduler_.n_blocks_needed(batch) > pool_.n_available()) work.n_guesses = 0;
    Sequence& sequence = *sequences_.at(work.id);
    const auto taken = guesses[i].tokens.first(work.n_guesses);
    sequence.guesses.assign(taken.begin(), taken.end());
    sequence.is_predicted = guesses[i].is_predicted;
  }
}

// The time in which as many find a place as were turned away since somebody did.
double Engine::retry_after_seconds() const {
  return admission_seconds_ * static_cast<double>(n_refused_in_row_);
}

// The tree gets each block as soon as it is full, and the prompt's last one when the prompt is
// done: others may wait for them.
void Engine::keep_progress(Sequence& sequence) {
  const size_t n = sequence.n_computed;
  const bool is_whole_prompt = n == sequence.n_prompt;
  const size_t n_keep = is_whole_prompt ? n : n / kBlockTokens * kBlockTokens;
  if (n_keep > sequence.n_kept) {
    const auto evaluated = std::span(sequence.tokens).first(n_keep);
    tree_.insert(evaluated, sequence.cache_salt, sequence.blocks);
    sequence.n_kept = n_keep;
    if (n == sequence.n_border) {
      const StateId state = take_state();
      kv_->copy_state(*sequence.state, state);
      tree_.insert_state(evaluated, sequence.cache_salt, state);
    }
  }
  release_claims(sequence, n >= sequence.n_prompt ? sequence.keys.size() : n / kBlockTokens);
}

// Of its first n_keys keys.
void Engine::release_claims(Sequence& sequence, size_t n_keys) {
  n_keys = std::min(n_keys, sequence.keys.size());
  if (n_keys <= sequence.n_keys_done) return;
  claims_.release(
      std::span(sequence.keys).subspan(sequence.n_keys_done, n_keys - sequence.n_keys_done),
      sequence.work_class);
  sequence.n_keys_done = n_keys;
}

// The last token of the prompt is always evaluated: its logits are needed.
void Engine::reuse_prefix(Sequence& sequence) {
  const auto wanted = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
  const PrefixTree::Match match = tree_.find(wanted, sequence.cache_salt);
  if (match.state) kv_->copy_state(*match.state, *sequence.state);
  const size_t n_full = match.n_tokens / kBlockTokens;
  for (size_t i = 0; i < n_full; ++i) {
    pool_.share(match.blocks[i]);
    sequence.blocks.push_back(match.blocks[i]);
  }
  if (const size_t n_rest = match.n_tokens % kBlockTokens; n_rest > 0) {
    // Taking a block may evict the one that is copied from; it then is free, maybe the very one
    // taken, but nothing was written to it yet.
    const BlockId own = take_block();
    kv_->copy_block(match.blocks[n_full], own, n_rest);
    sequence.blocks.push_back(own);
  }
  sequence.n_computed = match.n_tokens;
  sequence.n_kept = n_full * kBlockTokens;
  sequence.n_reused = match.n_tokens;
  if (!sequence.was_started) {  // else it goes on from its own after it stepped back
    sequence.was_started = true;
    sequence.usage.n_cached = match.n_tokens;
    totals_.n_tokens_cached += match.n_tokens;
  }
  if (match.n_tokens > 0) scheduler_.skip(sequence.id, match.n_tokens);
  sequence.n_keys_done =
      match.n_tokens >= sequence.n_prompt ? sequence.keys.size() : match.n_tokens / kBlockTokens;
  claims_.claim(std::span(sequence.keys).subspan(sequence.n_keys_done), sequence.work_class);
}

// Never fails: what runs holds less than it was promised, and all else can be evicted.
BlockId Engine::take_block() {
  while (pool_.n_free() == 0) CHECK(tree_.evict());
  return *pool_.take();
}

// The same: there are kStatesPerSequence for each that may run.
StateId Engine::take_state() {
  while (states_.n_free() == 0) CHECK(tree_.evict_state());
  return *states_.take();
}

void Engine::forward(const std::vector<Work>& batch) {
  std::vector<model::Slice> slices;
  size_t n_rows = 0;
  for (const Work& work : batch) {
    Sequence& sequence = *sequences_.at(work.id);
    const size_t end = sequence.n_computed + work.n_tokens;
    const size_t n_blocks = blocks_for(end + work.n_guesses);
    while (sequence.blocks.size() < n_blocks) sequence.blocks.push_back(take_block());
    const size_t n_logits =
        sequence.score ? work.n_tokens : (end == sequence.tokens.size() ? 1 + work.n_guesses : 0);
    if (work.n_guesses > 0) {  // behind the tokens for as long as the pass takes
      const auto guesses = std::span(sequence.guesses).first(work.n_guesses);
      sequence.tokens.insert(sequence.tokens.end(), guesses.begin(), guesses.end());
    }
    slices.push_back({.tokens = std::span(sequence.tokens)
                                    .subspan(sequence.n_computed, work.n_tokens + work.n_guesses),
                      .position = sequence.n_computed,
                      .blocks = sequence.blocks,
                      .n_logits = n_logits,
                      .state = sequence.state.value_or(0),
                      .adapter = sequence.adapter,
                      .wanted = sequence.sampler && n_logits > 0 ? wanted(sequence, work.n_guesses)
                                                                 : model::WantedLogits{}});
    n_rows += n_logits;
  }
  if (logits_.size() < n_rows * n_vocab_) logits_.resize(n_rows * n_vocab_);
  model_.forward(slices, *kv_, std::span(logits_).first(n_rows * n_vocab_));
  for (const Work& work : batch) {
    std::vector<TokenId>& tokens = sequences_.at(work.id)->tokens;
    tokens.resize(tokens.size() - work.n_guesses);
  }
}

// Of the rows from which the next tokens are drawn. The guesses are behind the sequence's tokens:
// what any of the rows may need is wanted for all of them.
model::WantedLogits Engine::wanted(Sequence& sequence, size_t n_guesses) {
  std::span<const uint64_t> allowed;
  if (sequence.held) {
    if (n_guesses > 0) return {};  // each has other tokens that may follow
    auto next = sequence.held->allowed();
    if (!next.ok()) return {};  // draw() will say so
    allowed = *next;
  }
  return sequence.sampler->wanted(sequence.tokens, n_guesses, sequence.listed, allowed);
}

void Engine::adapt_budget(double seconds, size_t n_tokens, const StepSeconds& wanted) {
  const bool is_full = n_tokens * 2 > n_step_tokens_;  // else that it was quick says nothing
  if (seconds <= wanted.max && (seconds >= wanted.min || !is_full)) return;
  const double ratio = std::clamp((wanted.min + wanted.max) / 2 / seconds, 0.5, 2.0);
  const auto n = static_cast<size_t>(static_cast<double>(n_step_tokens_) * ratio);
  n_step_tokens_ =
      std::clamp(n / kStepTokensMultiple * kStepTokensMultiple, kStepTokensMin, kStepTokensMax);
}

// One token is drawn, and another behind each guess that it proves right. Each is drawn as it would
// be without guesses: from the same logits, with the same history and the next number of the same
// generator. What was evaluated behind a wrong guess is given up: the next step writes over it.
// Returns how many guesses were right.
size_t Engine::generate(Sequence& sequence, std::span<float> rows) {
  sequence.n_before = sequence.tokens.size();
  sequence.n_right = 0;
  totals_.n_tokens_guessed += sequence.guesses.size();
  if (sequence.is_predicted) sequence.usage.n_predicted_wrong += sequence.guesses.size();
  do {
    sequence.n_computed = sequence.tokens.size();
    draw(sequence, rows.subspan(sequence.n_right * n_vocab_, n_vocab_));
  } while (!sequence.ended && sequence.tokens.size() == sequence.n_before + sequence.n_right);
  totals_.n_guesses_right += sequence.n_right;
  sequence.guesses.clear();
  if (sequence.ended) return sequence.n_right;
  sequence.n_computed = sequence.n_before + sequence.n_right;
  while (sequence.blocks.size() > blocks_for(sequence.n_computed)) {
    pool_.release(sequence.blocks.back());
    sequence.blocks.pop_back();
  }
  return sequence.n_right;
}

void Engine::draw(Sequence& sequence, std::span<float> logits) {
  std::span<const uint64_t> allowed;
  if (sequence.held) {
    auto next = sequence.held->allowed();
    if (!next.ok()) return fail(sequence, std::move(next).error());
    allowed = *next;
  }
  const auto draw = sequence.sampler->draw(logits, sequence.tokens, scratch_, allowed);
  if (!draw) {
    return fail(sequence, Error::corrupt("the model gave no usable numbers; its file may be "
                                         "damaged"));
  }
  if (sequence.first_token_ns == 0) {
    sequence.first_token_ns = clock_.monotonic_ns();
    sequence.usage.prompt_seconds = seconds_since(sequence.admitted_ns);
  }
  sequence.usage.generate_seconds = seconds_since(sequence.first_token_ns);
  if (tokens_.is_eog(draw->id) && (!sequence.ignore_eos || sequence.held)) {
    return finish(sequence, FinishReason::kStop);
  }
  if (sequence.held) {
    if (auto accepted = sequence.held->accept(draw->id); !accepted.ok()) {
      return fail(sequence, std::move(accepted).error());
    }
  }
  Delta delta;
  if (sequence.want_logprobs) delta.logprobs = {make_logprob(*draw)};
  const bool goes_on = append(sequence, draw->id, delta) && append_forced(sequence, delta);
  sink_(sequence.id, std::move(delta));
  if (goes_on) return;
  const bool is_whole =
      sequence.matcher->found() || (sequence.held && sequence.held->is_complete());
  finish(sequence, is_whole ? FinishReason::kStop : FinishReason::kLength);
}

// False where the answer ends with this token.
bool Engine::append(Sequence& sequence, TokenId token, Delta& delta) {
  delta.ids.push_back(token);
  sequence.matcher->feed(tokens_.text(token), delta.text);
  check_guess(sequence, token);
  sequence.tokens.push_back(token);
  ++sequence.usage.n_generated;
  ++totals_.n_tokens_generated;
  if (sequence.matcher->found() || sequence.tokens.size() == sequence.n_tokens_end) return false;
  return !sequence.held || !sequence.held->is_complete();
}

// Whether the next guess is this token, that comes behind right ones only.
void Engine::check_guess(Sequence& sequence, TokenId token) {
  const size_t n_right = sequence.n_right;
  const bool is_next = sequence.tokens.size() == sequence.n_before + n_right;
  if (!is_next || n_right == sequence.guesses.size()) return;
  if (sequence.guesses[n_right] != token) return;
  ++sequence.n_right;
  if (!sequence.is_predicted) return;
  ++sequence.usage.n_predicted_right;
  --sequence.usage.n_predicted_wrong;
}

// Tokens that the grammar leaves no choice about. The next step evaluates them with the one before
// them. False where the answer ends with the last.
bool Engine::append_forced(Sequence& sequence, Delta& delta) {
  if (!sequence.held || sequence.want_logprobs) return true;  // who wants those gets them for each
  for (size_t i = 0; i < kForcedTokensMax; ++i) {
    const TokenId token = sequence.held->forced();
    if (token < 0 || !sequence.held->accept(token).ok()) return true;
    if (!append(sequence, token, delta)) return false;
  }
  return true;
}

TokenLogprob Engine::make_logprob(const Sampler::Draw& draw) const {
  TokenLogprob logprob{{draw.id, draw.logprob, std::string(tokens_.bytes(draw.id))}, {}};
  for (const auto& [id, value] : draw.top) {
    logprob.top.push_back({id, value, std::string(tokens_.bytes(id))});
  }
  return logprob;
}

void Engine::score(Sequence& sequence, std::span<const float> rows, size_t n_rows) {
  const size_t n_ids = sequence.tokens.size();
  const size_t first = sequence.n_computed - n_rows;
  for (size_t i = 0; i < n_rows; ++i) {
    const auto logits = rows.subspan(i * n_vocab_, n_vocab_);
    const LogitRow row(logits, scratch_.ops, scratch_.row);
    const double log_sum = row.log_sum_exp();
    if (!std::isfinite(log_sum)) {
      return fail(sequence, Error::corrupt("the model gave no usable numbers; its file may be "
                                           "damaged"));
    }
    const size_t position = first + i;
    if (position + 1 < n_ids) {
      sequence.nlls.push_back(log_sum - logits[static_cast<size_t>(sequence.tokens[position + 1])]);
    }
    if (n_ids - position > sequence.score->last) continue;
    ScoreRow answer;
    row.top_logprobs(log_sum, sequence.score->top, answer.top);
    sink_(sequence.id, std::move(answer));
  }
  if (sequence.n_computed == n_ids) end(sequence, ScoreDone{std::move(sequence.nlls)});
}

void Engine::finish(Sequence& sequence, FinishReason reason) {
  Delta rest;
  sequence.matcher->finish(rest.text);
  if (!rest.text.empty()) sink_(sequence.id, std::move(rest));
  Done done{.reason = reason, .stop = {}, .usage = sequence.usage};
  if (sequence.matcher->found()) done.stop = sequence.stop[*sequence.matcher->found()];
  end(sequence, std::move(done));
}

void Engine::fail(Sequence& sequence, Error error) { end(sequence, Failed{std::move(error)}); }

void Engine::end(Sequence& sequence, Event last) {
  CHECK(!sequence.ended);
  sequence.ended = true;
  scheduler_.remove(sequence.id);
  release_claims(sequence, sequence.keys.size());
  const auto evaluated = std::span(sequence.tokens).first(sequence.n_computed);
  const bool is_kept = sequence.keep_kv && !std::holds_alternative<Failed>(last);
  if (!sequence.score && !evaluated.empty() && is_kept) {
    tree_.insert(evaluated, sequence.cache_salt, sequence.blocks);
    if (sequence.state) tree_.insert_state(evaluated, sequence.cache_salt, *sequence.state);
    if (archive_ != nullptr) {
      archive_->keep({evaluated.begin(), evaluated.end()}, sequence.cache_salt);
    }
  } else {
    if (!sequence.score) tree_.forget(evaluated, sequence.cache_salt, sequence.n_reused);
    if (sequence.state) states_.release(*sequence.state);
  }
  pool_.release(sequence.blocks);
  sink_(sequence.id, std::move(last));
}

EngineTotals Engine::totals() const {
  EngineTotals totals = totals_;
  totals.n_running = scheduler_.n_running();
  totals.n_waiting = scheduler_.n_waiting();
  totals.n_blocks = pool_.n_blocks();
  totals.n_blocks_free = pool_.n_available();
  if (archive_ != nullptr) {
    totals.n_blocks_saved = archive_->n_saved();
    totals.n_blocks_brought_back = archive_->n_brought_back();
  }
  return totals;
}

void Engine::check_integrity() const {
  scheduler_.check_integrity();
  CHECK(sequences_.size() == scheduler_.n_running() + scheduler_.n_waiting());
  std::vector<BlockId> blocks;
  std::vector<StateId> states;
  for (const auto& [id, sequence] : sequences_) {
    CHECK(!sequence->ended && sequence->blocks.size() == blocks_for(sequence->n_computed));
    blocks.insert(blocks.end(), sequence->blocks.begin(), sequence->blocks.end());
    if (sequence->state) states.push_back(*sequence->state);
  }
  tree_.append_holders(blocks, states);
  tree_.check_integrity();
  if (archive_ != nullptr) archive_->check_integrity();
  pool_.check_integrity(blocks);
  states_.check_integrity(states);
}

}  // namespace maru::engine
