// engine/scheduler.h - who runs, who waits, and how many tokens of whom the next step evaluates.
//
// A state machine over counts: Engine tells it what happened and does what it plans. It must not
// know tokens, blocks by id, models or time.
// Admission: a sequence runs once the blocks for all tokens it may ever hold are there, so that
// memory is never promised twice; the rest waits in order of arrival. Each step decodes one token
// of every sequence that can, then evaluates prompts in order of admission in what is left.
// Threads: the engine thread.
#pragma once
#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "engine/request.h"

namespace maru::engine {

struct SchedulerLimits {
  size_t n_blocks = 0;
  size_t n_running_max = 32;
  size_t n_waiting_max = 512;
};

// Prompts get at least so many tokens of a step, however many sequences decode.
inline constexpr size_t kPrefillTokensMin = 16;

struct Entry {
  SequenceId id = 0;
  size_t n_tokens = 0;      // known: prompt and what was generated
  size_t n_tokens_end = 0;  // the most it may ever hold
  size_t n_chunk_max = 0;   // the most that one step evaluates of it
  size_t n_computed = 0;    // evaluated, so that their KV is there
  size_t n_cut = 0;         // a step ends there, so that the state can be kept; 0 = nowhere
};

struct Work {
  SequenceId id = 0;
  size_t n_tokens = 0;  // to evaluate, from n_computed on
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits) : limits_(limits) {}

  // False where too many wait already. Requires: it fits into n_blocks by itself; a new id.
  bool enqueue(const Entry& entry);
  // Lets the first of those that wait run, if it fits; its id.
  std::optional<SequenceId> admit();
  // The first n tokens of a sequence need no work. Requires: it runs; n < n_tokens.
  void skip(SequenceId id, size_t n);
  // What the next step evaluates: at most n_tokens_max, except that every decode takes part.
  // In order of admission. Empty where nothing runs.
  std::vector<Work> plan(size_t n_tokens_max) const;
  // A planned piece was evaluated and n_new tokens were added behind it.
  void advance(const Work& work, size_t n_new);
  // It ended, wherever it was. Ids that are unknown are ignored.
  void remove(SequenceId id);

  size_t n_running() const { return running_.size(); }
  size_t n_waiting() const { return waiting_.size(); }
  void check_integrity() const;

 private:
  Entry& running(SequenceId id);

  SchedulerLimits limits_;
  std::deque<Entry> waiting_;   // first come, first served
  std::vector<Entry> running_;  // in order of admission
  size_t n_blocks_promised_ = 0;
};

}  // namespace maru::engine
