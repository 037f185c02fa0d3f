// grammar/budget.h - what compiling and matching may cost, counted in steps and bytes, so that the
// same grammar is accepted or refused on every machine.
//
// Threads: one owner.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace maru::grammar {

// The text of a schema, a regex or a GBNF grammar.
inline constexpr size_t kSourceBytesMax = 64 * 1024;
// One step is about one small node made or visited. So many take less than 250 ms on the machines
// of docs/performance/grammar.md.
inline constexpr uint64_t kCompileStepsMax = 1'200'000;
// For following one token, or finding all that may come next.
inline constexpr uint64_t kTokenStepsMax = 1'000'000;
// Of one compiled grammar, with what is found out lazily while it is used.
inline constexpr size_t kGrammarBytesMax = 32 << 20;

class Budget {
 public:
  Budget(uint64_t steps, size_t bytes) : steps_(steps), bytes_(bytes) {}

  // Both stay exhausted once they are: callers may go on for a while and ask at the end.
  void step(uint64_t n = 1) { n >= steps_ ? steps_ = 0 : steps_ -= n; }
  void take(size_t bytes) { bytes >= bytes_ ? bytes_ = 0 : bytes_ -= bytes; }
  bool exhausted() const { return steps_ == 0 || bytes_ == 0; }
  size_t bytes_left() const { return bytes_; }
  // For the next piece of work. What is left of the bytes stays the limit.
  void set_steps(uint64_t steps) {
    if (steps_ != 0) steps_ = steps;
  }

 private:
  uint64_t steps_;
  size_t bytes_;
};

}  // namespace maru::grammar
