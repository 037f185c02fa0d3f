// engine/request.h - what an engine is asked to do and what it answers, as ids and plain values.
//
// link/messages.h gives the same answers to serve/ and app/. It must not know: sockets, templates,
// prompts as text. Threads: plain values.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "engine/sampling.h"
#include "grammar/constraint.h"
#include "model/pooling.h"

namespace maru::engine {

using SequenceId = uint64_t;

// How soon somebody needs the answer; the earlier of two goes first.
enum class WorkClass : uint8_t { kInteractive, kAgent, kBackground };

// Whose work it is. Users share the engine by their weights, within each class.
struct Claim {
  std::string user = {};
  uint32_t weight = 1;  // 1 to kWeightMax
  WorkClass work_class = WorkClass::kInteractive;
};
inline constexpr uint32_t kWeightMax = 1000;
inline constexpr size_t kUserBytesMax = 256;

struct GenerateJob {
  std::vector<TokenId> prompt = {};
  SamplingParams sampling = {};
  std::vector<std::string> stop = {};
  std::optional<size_t> max_tokens = {};  // absent: up to the end of the context
  bool ignore_eos = false;
  std::string cache_salt = {};  // KV is reused only between equal salts
  bool keep_kv = true;          // after the end, for later prompts that begin alike
  bool echo_prompt_ids = false;
  bool want_progress = false;  // Progress after each step that leaves some of the prompt
  uint32_t adapter = 0;        // model::AdapterId; KV is reused only between equal ones
  Claim claim = {};
  // What the answer must look like; null: anything. Over the vocabulary of the engine's model.
  std::shared_ptr<grammar::CompiledGrammar> grammar = {};
  // What the answer may repeat, at most as long as the context; helps to guess and nothing else.
  std::vector<TokenId> prediction = {};
  bool in_reasoning = false;  // passed on by Started
};

// The log-probability of every id given those before it, and the likeliest tokens of the last rows.
struct ScoreJob {
  std::vector<TokenId> ids = {};
  size_t last = 1;  // rows that report their likeliest tokens; 0 = every row
  size_t top = 0;
};

// The vectors of a text's tokens, pooled into one.
struct EmbedJob {
  std::vector<TokenId> ids = {};
  size_t n_first = SIZE_MAX;                       // of a pair: ids of the first text
  model::Pooling pooling = model::Pooling::kNone;  // none: as the model says
  bool normalize = false;                          // divides the pooled vector by its length
  bool want_tokens = false;                        // each token's own vector as well, as it is
};

struct Candidate {
  TokenId id = 0;
  float logprob = 0;
  std::string bytes = {};  // of the token; may be a part of a UTF-8 character
};

struct TokenLogprob {
  Candidate chosen = {};
  std::vector<Candidate> top = {};  // likeliest first
};

struct Usage {
  size_t n_prompt = 0;
  size_t n_cached = 0;           // of the prompt, taken from the prefix cache
  size_t n_generated = 0;        // without the token that ended the generation
  size_t n_predicted_right = 0;  // guessed from the prediction, and generated
  size_t n_predicted_wrong = 0;  // guessed from it and evaluated in vain
  double queue_seconds = 0;      // accepted to first evaluated
  double prompt_seconds = 0;     // evaluating the prompt
  double generate_seconds = 0;   // first token to last
};

enum class FinishReason { kStop, kLength, kCancelled };

// Sent when a generation was accepted and waits or runs.
struct Started {
  size_t n_prompt = 0;
  std::vector<TokenId> prompt_ids = {};  // where echo_prompt_ids
  bool in_reasoning = false;  // the prompt ends within reasoning that the answer goes on with
};
// A part of the prompt is evaluated, and more is to come.
struct Progress {
  size_t n_evaluated = 0;  // tokens, with the cached ones
  size_t n_cached = 0;
  size_t n_prompt = 0;
  double seconds = 0;  // since the prompt was begun
};
struct Delta {
  // Well-formed UTF-8; may be empty while a character or a stop string is undecided.
  std::string text = {};
  std::vector<TokenId> ids = {};
  std::vector<TokenLogprob> logprobs = {};  // one per id where asked for
};
struct Done {
  FinishReason reason = FinishReason::kStop;
  std::string stop = {};  // the stop string that ended it, or empty
  Usage usage = {};
};
struct Failed {
  Error error;
  double retry_after_seconds = 0;  // when it may be tried again, where that is known
};

// One row of a score, in order of position.
struct ScoreRow {
  std::vector<std::pair<TokenId, float>> top = {};  // log-probabilities, likeliest first
};
struct ScoreDone {
  std::vector<double> nlls = {};  // -ln p(ids[i] | ids[0..i-1]) for i >= 1
};

// One token's vector, in order of position. Shapes: values [d_model].
struct EmbedRow {
  std::vector<float> values = {};
};
struct EmbedDone {
  std::vector<float> values = {};  // [d_model]
  size_t n_prompt = 0;
};

// A generation: Started, Progress*, Delta*, then one of Done and Failed; where it is refused Failed
// alone.
// A score: ScoreRow*, then ScoreDone or Failed. An embedding: EmbedRow*, then EmbedDone or Failed.
using Event =
    std::variant<Started, Progress, Delta, Done, Failed, ScoreRow, ScoreDone, EmbedRow, EmbedDone>;

}  // namespace maru::engine
