// link/scripted_engine.h - an engine without a model: answers by a script, with faults on demand.
//
// Tests of serve/ and app/ run against it, on a thread (in_process.h) or as the hidden
// `maru engine --scripted FILE`. It speaks the same protocol and refuses what a real engine
// refuses (sampling ranges, stop strings, context length).
//
// The script is one JSON object; every field may be left out:
//   {"card": {"architecture", "name", "n_ctx", "n_ctx_train", "n_vocab", "has_chat_template",
//             "d_model", "generates", "pooling"},
//    "load_error": "message",      refuse Load with it
//    "n_loading": 2,               tell so often how far the load is
//    "echo": true,                 answer with the last message (or the prompt) where no reply fits
//    "replies": [{
//       "match": "text",           only for prompts that contain it
//       "times": 2,                at most so often; 0 = always
//       "text": "a b", "pieces": ["a ", "b"],   pieces are tokens; a text is split after spaces
//       "finish": "stop",          or "length"
//       "fault": "none",           "error", "die", "stall" (until cancelled) or
//                                  "hang" (answers nothing from then on); embeddings die too
//       "fault_after": 1,          after so many pieces
//       "error": "message",        of the fault "error"
//       "delay_ms": 5,             before each piece
//       "start_when_running": 2    waits until so many generations run at once
//    }]}
// The first reply that fits is taken. Token ids: a byte is its own id; each piece of a reply gets
// the next id from 256 on. Scores are those of a uniform distribution over the vocabulary. The
// vector of a token is 1 at its id modulo d_model and 0 elsewhere.
// Threads: serve_scripted() owns its thread and starts one per generation.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "link/messages.h"

namespace maru::link {

enum class ScriptFault { kNone, kError, kDie, kStall, kHang };

struct ScriptedReply {
  std::string match;
  size_t times = 0;
  std::vector<std::string> pieces;
  FinishReason finish = FinishReason::kStop;
  ScriptFault fault = ScriptFault::kNone;
  size_t fault_after = 0;
  std::string error = "scripted error";
  size_t delay_ms = 0;
  size_t start_when_running = 0;
};

struct Script {
  ModelCard card;
  std::string load_error;
  size_t n_loading = 0;
  bool echo = false;
  std::vector<ScriptedReply> replies;
};

// Errors: kInvalidArgument naming the field.
Result<Script> parse_script(std::string_view json);

struct ScriptedOptions {
  const Clock* clock = nullptr;  // required; times of Usage. Delays pass in real time.
  bool die_by_signal = false;    // "die" kills the process (as SIGKILL) and not the connection
};

// Serves until the client closes the socket.
void serve_scripted(int fd, const Script& script, const ScriptedOptions& options);

}  // namespace maru::link
