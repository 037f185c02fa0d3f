#include "engine/engine.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace maru::engine {
namespace {

using model::kBlockTokens;

// A step evaluates as many prompt tokens as take about this long: others' tokens, new requests and
// cancels wait for it. The results do not depend on it (batch invariance).
struct StepSeconds {
  double min;
  double max;
};
constexpr StepSeconds kStepSeconds = {0.1, 0.25};
// Where nobody else waits but a cancel: longer passes read the weights less often.
constexpr StepSeconds kStepSecondsAlone = {0.2, 0.45};
constexpr size_t kStepTokensFirst = 128;
constexpr size_t kStepTokensMin = 32;
constexpr size_t kStepTokensMax = 1024;

// Rows of a score per step: each needs all logits, 32 rows of 262,144 tokens are 32 MiB.
constexpr size_t kScoreRowsMax = 32;

// So many that each can hold the states it may need.
size_t running_max(const model::ModelInfo& info, const EngineOptions& options) {
  if (info.state_bytes == 0) return options.n_running_max;
  return std::min(options.n_running_max, options.n_states / kStatesPerSequence);
}

size_t blocks_for(size_t n_tokens) { return (n_tokens + kBlockTokens - 1) / kBlockTokens; }

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
  std::optional<StateId> state;         // while it runs; stands at n_computed
  std::optional<StateId> border_state;  // stands at n_border
  size_t n_border = 0;                  // the prompt's last block border; 0 = none
  // Of a generation.
  std::optional<Sampler> sampler;
  std::optional<StopMatcher> matcher;
  std::vector<std::string> stop;
  std::string cache_salt;
  bool ignore_eos = false;
  bool want_logprobs = false;
  // Of a score.
  std::optional<ScoreJob> score;
  std::vector<double> nlls;
  // Times and counts.
  Usage usage;
  int64_t submitted_ns = 0;
  int64_t admitted_ns = 0;
  int64_t first_token_ns = 0;
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
      sink_(std::move(sink)),
      kv_(std::move(kv)),
      pool_(options.n_blocks),
      states_(model.info().state_bytes > 0 ? options.n_states : 0),
      cache_(pool_, states_),
      scheduler_({options.n_blocks, running_max(model.info(), options), options.n_waiting_max}),
      scratch_(n_vocab_, options.kernels->ops),
      n_step_tokens_(kStepTokensFirst) {}

Engine::~Engine() = default;

double Engine::seconds_since(int64_t begin_ns) const {
  return static_cast<double>(clock_.monotonic_ns() - begin_ns) / 1e9;
}

void Engine::submit(SequenceId id, GenerateJob job) {
  if (auto checked = check_job(job, n_vocab_, options_.n_ctx); !checked.ok()) {
    return sink_(id, Failed{checked.error()});
  }
  const size_t n_prompt = job.prompt.size();
  Started started{.n_prompt = n_prompt};
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
  sequence->cache_salt = std::move(job.cache_salt);
  sequence->ignore_eos = job.ignore_eos;
  sequence->want_logprobs = job.sampling.want_logprobs;
  if (enqueue(std::move(sequence), kStepTokensMax)) sink_(id, std::move(started));
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
  enqueue(std::move(sequence), kScoreRowsMax);
}

bool Engine::enqueue(std::unique_ptr<Sequence> sequence, size_t n_chunk_max) {
  const SequenceId id = sequence->id;
  CHECK(!sequences_.contains(id));
  sequence->n_prompt = sequence->tokens.size();
  sequence->usage.n_prompt = sequence->n_prompt;
  if (states_.n_blocks() > 0 && !sequence->score) {  // below the last token, which is evaluated
    sequence->n_border = (sequence->n_prompt - 1) / kBlockTokens * kBlockTokens;
  }
  sequence->submitted_ns = clock_.monotonic_ns();
  const bool accepted = scheduler_.enqueue({.id = id,
                                            .n_tokens = sequence->n_prompt,
                                            .n_tokens_end = sequence->n_tokens_end,
                                            .n_chunk_max = n_chunk_max,
                                            .n_cut = sequence->n_border});
  if (!accepted) {
    sink_(id, Failed{Error::exhausted("too many requests wait for this model already")});
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
  const std::vector<Work> batch = scheduler_.plan(n_step_tokens_);
  if (batch.empty()) return false;
  size_t n_tokens = 0;
  for (const Work& work : batch) n_tokens += work.n_tokens;
  const int64_t begin_ns = clock_.monotonic_ns();
  forward(batch);
  adapt_budget(seconds_since(begin_ns), n_tokens, batch.size() == 1);
  size_t row = 0;
  for (const Work& work : batch) {
    Sequence& sequence = *sequences_.at(work.id);
    sequence.n_computed += work.n_tokens;
    if (sequence.n_computed <= sequence.n_prompt) totals_.n_tokens_prompt += work.n_tokens;
    if (sequence.n_border > 0 && sequence.n_computed == sequence.n_border) {
      keep_border_state(sequence);
    }
    const bool has_new = !sequence.score && sequence.n_computed == sequence.tokens.size();
    const size_t n_rows = sequence.score ? work.n_tokens : (has_new ? 1 : 0);
    const auto rows = std::span(logits_).subspan(row * n_vocab_, n_rows * n_vocab_);
    row += n_rows;
    if (sequence.score) {
      score(sequence, rows, n_rows);
    } else if (has_new) {
      generate(sequence, rows);
    }
    if (sequence.ended) {
      sequences_.erase(work.id);
    } else {
      scheduler_.advance(work, has_new ? 1 : 0);
    }
  }
  return true;
}

void Engine::admit() {
  while (const auto id = scheduler_.admit()) {
    Sequence& sequence = *sequences_.at(*id);
    sequence.admitted_ns = clock_.monotonic_ns();
    sequence.usage.queue_seconds = seconds_since(sequence.submitted_ns);
    if (states_.n_blocks() > 0) sequence.state = take_state();
    if (!sequence.score) reuse_prefix(sequence);
  }
}

// The last token of the prompt is always evaluated: its logits are needed.
void Engine::reuse_prefix(Sequence& sequence) {
  const auto wanted = std::span(sequence.tokens).first(sequence.n_prompt - 1);
  const PrefixCache::Match match = cache_.find(wanted, sequence.cache_salt);
  if (match.n_tokens == 0) return;
  if (match.state) kv_->copy_state(*match.state, *sequence.state);
  const size_t n_full = match.n_tokens / kBlockTokens;
  for (size_t i = 0; i < n_full; ++i) {
    pool_.share(match.blocks[i]);
    sequence.blocks.push_back(match.blocks[i]);
  }
  if (const size_t n_rest = match.n_tokens % kBlockTokens; n_rest > 0) {
    // Taking a block may evict the sequence that is copied from; its block then is free, maybe the
    // very one taken, but nothing was written to it yet.
    const BlockId own = take_block();
    kv_->copy_block(match.blocks[n_full], own, n_rest);
    sequence.blocks.push_back(own);
  }
  sequence.n_computed = match.n_tokens;
  sequence.usage.n_cached = match.n_tokens;
  scheduler_.skip(sequence.id, match.n_tokens);
}

// Never fails: what runs holds less than it was promised, and all else can be evicted.
BlockId Engine::take_block() {
  while (pool_.n_free() == 0) CHECK(cache_.evict());
  return *pool_.take();
}

// The same: there are kStatesPerSequence for each that may run.
StateId Engine::take_state() {
  while (states_.n_free() == 0) CHECK(cache_.evict());
  return *states_.take();
}

void Engine::keep_border_state(Sequence& sequence) {
  sequence.border_state = take_state();
  kv_->copy_state(*sequence.state, *sequence.border_state);
}

void Engine::forward(const std::vector<Work>& batch) {
  std::vector<model::Slice> slices;
  size_t n_rows = 0;
  for (const Work& work : batch) {
    Sequence& sequence = *sequences_.at(work.id);
    const size_t end = sequence.n_computed + work.n_tokens;
    while (sequence.blocks.size() < blocks_for(end)) sequence.blocks.push_back(take_block());
    const size_t n_logits =
        sequence.score ? work.n_tokens : (end == sequence.tokens.size() ? 1 : 0);
    slices.push_back(
        {.tokens = std::span(sequence.tokens).subspan(sequence.n_computed, work.n_tokens),
         .position = sequence.n_computed,
         .blocks = sequence.blocks,
         .n_logits = n_logits,
         .state = sequence.state.value_or(0)});
    n_rows += n_logits;
  }
  if (logits_.size() < n_rows * n_vocab_) logits_.resize(n_rows * n_vocab_);
  model_.forward(slices, *kv_, std::span(logits_).first(n_rows * n_vocab_));
}

void Engine::adapt_budget(double seconds, size_t n_tokens, bool alone) {
  const StepSeconds wanted = alone ? kStepSecondsAlone : kStepSeconds;
  if (seconds > wanted.max) {
    n_step_tokens_ = std::max(kStepTokensMin, n_step_tokens_ / 2);
  } else if (seconds < wanted.min && n_tokens * 2 > n_step_tokens_) {
    n_step_tokens_ = std::min(kStepTokensMax, n_step_tokens_ * 2);  // a full step was quick
  }
}

void Engine::generate(Sequence& sequence, std::span<float> logits) {
  const auto draw = sequence.sampler->draw(logits, sequence.tokens, scratch_);
  if (!draw) {
    return fail(sequence, Error::corrupt("the model gave no usable numbers; its file may be "
                                         "damaged"));
  }
  if (sequence.first_token_ns == 0) {
    sequence.first_token_ns = clock_.monotonic_ns();
    sequence.usage.prompt_seconds = seconds_since(sequence.admitted_ns);
  }
  sequence.usage.generate_seconds = seconds_since(sequence.first_token_ns);
  if (tokens_.is_eog(draw->id) && !sequence.ignore_eos) {
    return finish(sequence, FinishReason::kStop);
  }
  Delta delta;
  delta.ids = {draw->id};
  if (sequence.want_logprobs) delta.logprobs = {make_logprob(*draw)};
  sequence.matcher->feed(tokens_.text(draw->id), delta.text);
  sequence.tokens.push_back(draw->id);
  ++sequence.usage.n_generated;
  ++totals_.n_tokens_generated;
  sink_(sequence.id, std::move(delta));
  if (sequence.matcher->found()) {
    finish(sequence, FinishReason::kStop);
  } else if (sequence.tokens.size() == sequence.n_tokens_end) {
    finish(sequence, FinishReason::kLength);
  }
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
  const bool is_useful =
      !sequence.score && sequence.n_computed > 0 && !std::holds_alternative<Failed>(last);
  if (is_useful) {
    std::vector<PrefixCache::Snapshot> snapshots;
    if (sequence.border_state) snapshots.push_back({sequence.n_border, *sequence.border_state});
    if (sequence.state) snapshots.push_back({sequence.n_computed, *sequence.state});
    sequence.tokens.resize(sequence.n_computed);
    cache_.keep(std::move(sequence.tokens), std::move(sequence.blocks), std::move(snapshots),
                std::move(sequence.cache_salt));
  } else {
    pool_.release(sequence.blocks);
    if (sequence.border_state) states_.release(*sequence.border_state);
    if (sequence.state) states_.release(*sequence.state);
  }
  sink_(sequence.id, std::move(last));
}

EngineTotals Engine::totals() const {
  EngineTotals totals = totals_;
  totals.n_running = scheduler_.n_running();
  totals.n_waiting = scheduler_.n_waiting();
  totals.n_blocks = pool_.n_blocks();
  std::vector<bool> is_running(pool_.n_blocks(), false);
  for (const auto& [id, sequence] : sequences_) {
    for (const BlockId block : sequence->blocks) is_running[block] = true;
  }
  totals.n_blocks_free = static_cast<size_t>(std::ranges::count(is_running, false));
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
    if (sequence->border_state) states.push_back(*sequence->border_state);
  }
  cache_.append_holders(blocks, states);
  pool_.check_integrity(blocks);
  states_.check_integrity(states);
}

}  // namespace maru::engine
