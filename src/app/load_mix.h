// app/load_mix.h - what the users of a load test ask: made up, the same for the same seed.
//
// load_run.cc has one Talker per stream. Words are common ones, near one token each for most
// vocabularies; what they really were is in the server's usage. Threads: plain values.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/rng.h"

namespace maru::app {

// Who asks in what way: some streams that are counted together.
struct LoadGroup {
  std::string name;
  size_t n_streams = 1;
  size_t n_prefix = 0;  // words that all of the group begin with
  size_t n_prompt = 256;
  size_t n_answer = 128;
  size_t n_turns = 1;        // of a conversation, each with the whole history
  double think_seconds = 0;  // on average between an answer and the next question
  std::string user = {};     // one for all; empty: each stream is its own
};

// The groups of a mix beside each other; "flood" is two runs (alone, then beside the flood).
// Empty where there is no such mix.
std::vector<std::vector<LoadGroup>> load_mix(std::string_view name, size_t n_streams,
                                             size_t n_prompt, size_t n_answer);
inline constexpr std::string_view kLoadMixes[] = {"chat", "shared", "turns", "long", "flood"};

class Talker {
 public:
  Talker(const LoadGroup& group, std::string model, uint64_t seed, size_t index);

  // The next request, given the last answer (empty at first).
  Json next(const std::string& answer);
  double think_seconds();

 private:
  const LoadGroup group_;
  const std::string model_;
  const std::string user_;
  const std::string prefix_;
  Rng rng_;
  Json messages_ = Json::array();
  size_t n_turn_ = 0;
};

}  // namespace maru::app
