// serve/openai/generation.h - one accepted request from the first event of the engine to the last
// byte of the answer.
//
// It runs all choices of a request at once, turns engine events into stream events or one whole
// answer, and cancels the engine's work when the client goes away or one choice fails.
// Threads: events arrive on the client's reader thread, the abort callback on a server thread; a
// mutex guards the state, and the engine is never called while it is held.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "link/client.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/openai/handed_over.h"
#include "serve/openai/receipt.h"
#include "serve/openai/replies.h"
#include "serve/openai/requests.h"

namespace maru::serve::openai {

// When a request came, and whom to tell how long things took.
struct Stopwatch {
  const Clock* clock = nullptr;
  std::shared_ptr<RequestMetrics> metrics;
  int64_t begin_ns = 0;

  int64_t now_ns() const { return clock->monotonic_ns(); }
};

// The text that each prompt's answer begins with; none where `echo` was not asked for.
// Errors: the engine's.
Result<std::vector<std::string>> read_echoes(const GenerateJob& job, link::Client& client);

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  // echoes: what each prompt's text begins with in the answer; one for each prompt, or none.
  Generation(GenerateJob job, ReplyHead head, AnswerSource source, std::vector<std::string> echoes,
             std::shared_ptr<link::Client> client, std::shared_ptr<ResponseWriter> writer,
             Stopwatch stopwatch);

  // Hands all choices to the engine; the events keep this object alive. Call once.
  // stream_begun: the head of the stream was sent while the engine was loaded.
  void start(bool stream_begun = false);

 private:
  void on_event(size_t index, link::GenerateEvent event);
  void on_started(size_t index, bool in_reasoning);
  void on_delta(size_t index, const link::Delta& delta);
  // Adds what an answer has come to; a stream gets it at once.
  void add_parts(size_t index, const text::AnswerParts& parts,
                 std::span<const link::TokenLogprob> logprobs);
  void measure(size_t index);
  void count_unfinished(RequestMetrics::Outcome outcome);
  void on_done(size_t index, const link::Done& done);
  void on_abort(AbortReason reason);
  // Ends the answer by an error and leaves the engine's other work to be cancelled.
  void fail(Error error, double retry_after_seconds = 0);
  std::string choices_text() const;
  Closing closing(std::string_view choices) const;
  void complete();

  const GenerateJob job_;
  const ReplyHead head_;
  const AnswerSource source_;
  const std::vector<std::string> echoes_;
  const std::shared_ptr<link::Client> client_;
  HandedOver handed_over_;
  const std::shared_ptr<ResponseWriter> writer_;
  const Stopwatch stopwatch_;
  const text::AnswerFormat format_;  // of the model

  std::mutex mutex_;
  std::vector<Choice> choices_;  // n for each prompt, in order
  // Of each choice of a chat, from its start on.
  std::vector<std::optional<text::AnswerParser>> parsers_;
  std::vector<int64_t> token_ns_;  // when each choice had its last token; 0 = none yet
  size_t n_done_ = 0;
  bool is_streaming_ = false;  // the head of the stream has been sent
  bool roles_begun_ = false;   // and the first choice's first event
  bool is_over_ = false;       // the answer is complete, or nobody wants it
  bool has_failed_ = false;    // and what the engine still has of it must go
};

}  // namespace maru::serve::openai
