// engine/scheduler.h - who runs, who waits, who steps back, and how many tokens of whom the next
// step evaluates.
//
// A state machine over counts: Engine tells it what happened and what time it is, and does what it
// decides. It must not know tokens, blocks by id, models, clocks. docs/scheduling.md explains it.
//
// Order: by class (aged by the time waited), then by user (who had the least for its weight), then
// first come, first served. Memory: a sequence runs once the blocks of its tokens and of
// kHeadroomTokens more are there; where that was too hopeful later on, or where somebody with a
// better claim waits, one steps back to the queue. Its blocks stay in the prefix tree as long as
// nobody needs the memory, so that it goes on from where it was.
// Threads: the engine thread.
#pragma once
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "engine/request.h"

namespace maru::engine {

struct SchedulerLimits {
  size_t n_blocks = 0;
  size_t n_running_max = 64;
  size_t n_waiting_max = 512;
  // Of one user.
  size_t n_running_user_max = SIZE_MAX;
  size_t n_waiting_user_max = SIZE_MAX;
};

// Prompts get at least so many tokens of a step, however many sequences decode.
inline constexpr size_t kPrefillTokensMin = 16;
// Of an answer, for which memory is there when a sequence begins to run.
inline constexpr size_t kHeadroomTokens = 256;
// A sequence counts as one class better for each such time since it arrived.
inline constexpr int64_t kAgingNs = 10'000'000'000;
// What a user who was away may be ahead of the others: so many tokens, times its weight.
inline constexpr double kCreditTokens = 4096;
// Within so many tokens for their weight two users count as served alike, so that one prompt is
// finished before the next rather than both late.
inline constexpr double kTurnTokens = 1024;
// Of a user's share of a step, what its answers get while a prompt with a better claim waits.
inline constexpr double kContestedShare = 0.25;
// So much of a running sequence is evaluated before one with a better claim may displace it.
inline constexpr size_t kResidenceTokens = 32;
// Users that are away and whose count is kept.
inline constexpr size_t kUsersAwayMax = 4096;

struct Entry {
  SequenceId id = 0;
  Claim claim = {};
  size_t n_tokens = 0;      // known: prompt and what was generated
  size_t n_tokens_end = 0;  // the most it may ever hold
  size_t n_chunk_max = 0;   // the most that one step evaluates of it
  size_t n_computed = 0;    // evaluated, so that their KV is there
  size_t n_cut = 0;         // a step ends there, so that the state can be kept; 0 = nowhere
  bool is_fixed = false;    // once it runs it never steps back: it runs when all of it fits
};

struct Work {
  SequenceId id = 0;
  size_t n_tokens = 0;   // to evaluate, from n_computed on
  size_t n_guesses = 0;  // and so many behind them, which may turn out wrong
};

class Scheduler {
 public:
  enum class Answer { kAccepted, kTooManyWait, kTooManyOfUserWait };
  struct Decision {
    bool admit = false;  // else: step back
    SequenceId id = 0;
  };

  explicit Scheduler(const SchedulerLimits& limits);

  // Requires: it fits into n_blocks by itself; a new id; 1 <= weight.
  Answer enqueue(const Entry& entry, int64_t now_ns);
  // Makes the one that has the best claim of those that wait run, or another step back for it.
  // Empty where things stay as they are. One that was admitted has n_computed 0, as has one that
  // stepped back.
  // n_available: blocks that are free or can be made so. n_shared: how many of the blocks that the
  // sequence needs are held by others that run; empty: it waits for what another computes.
  std::optional<Decision> decide(int64_t now_ns, size_t n_available,
                                 FunctionRef<std::optional<size_t>(SequenceId)> n_shared);
  // The first n tokens of a sequence need no work. Requires: it runs; n < n_tokens.
  void skip(SequenceId id, size_t n);
  // What the next step evaluates: at most n_tokens_max, but for decodes and kPrefillTokensMin.
  // In order of admission. Empty where nothing runs.
  std::vector<Work> plan(size_t n_tokens_max, int64_t now_ns) const;
  // Makes one step back where the blocks that the plan takes are not there; then the plan is void.
  // Empty where they are.
  std::optional<SequenceId> make_room(std::span<const Work> plan, size_t n_available,
                                      int64_t now_ns);
  // The blocks that the plan's next step takes, and those that are promised.
  size_t n_blocks_needed(std::span<const Work> plan) const;
  // A planned piece was evaluated and n_new tokens were added behind it; the first n_right of its
  // guesses were among them.
  void advance(const Work& work, size_t n_new, size_t n_right = 0);
  // It ended, wherever it was. Ids that are unknown are ignored.
  void remove(SequenceId id);

  size_t n_running() const { return running_.size(); }
  size_t n_waiting() const { return waiting_.size(); }
  // Tokens evaluated for a user so far, for its weight; those of users who are away long are lost.
  double served(const std::string& user) const;
  void check_integrity() const;

 private:
  struct User {
    double weight = 1;
    double served = 0;  // tokens evaluated / weight, moved up when it comes back
    size_t n_running = 0;
    size_t n_waiting = 0;
    bool is_away() const { return n_running + n_waiting == 0; }
  };
  struct Place {
    Entry entry;
    uint64_t number = 0;  // in order of arrival
    int64_t arrived_ns = 0;
    size_t n_since_admission = 0;  // tokens evaluated
    uint64_t last_served = 0;      // when, counted in pieces of work
  };

  Place& running(SequenceId id);
  const Place& running(SequenceId id) const;
  User& user_of(const Place& place) { return users_.at(place.entry.claim.user); }
  const User& user_of(const Place& place) const { return users_.at(place.entry.claim.user); }
  User& arrive(const Claim& claim);
  void leave(const std::string& name);
  void raise_floor();
  size_t level(const Place& place, int64_t now_ns) const;
  std::vector<size_t> waiting_order(int64_t now_ns) const;
  size_t n_blocks_of(const std::string& user) const;
  double share(const Place& place, bool of_blocks, size_t n_more) const;
  std::optional<size_t> find_victim(const Place& waiting, size_t n_need, bool of_blocks,
                                    int64_t now_ns) const;
  SequenceId step_back(size_t i);

  SchedulerLimits limits_;
  std::vector<Place> waiting_;  // in order of arrival
  std::vector<Place> running_;  // in order of admission
  std::map<std::string, User> users_;
  double floor_ = 0;  // the least that a user with work was served
  uint64_t n_arrived_ = 0;
  uint64_t n_pieces_ = 0;
};

}  // namespace maru::engine
