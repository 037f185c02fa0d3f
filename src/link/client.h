// link/client.h - the seam to an engine: a process on this machine, a scripted one, later a remote
// server.
//
// serve/ and app/ hold a Client and never see sockets. Implementations: ProcessClient
// (link/process_client.h), which starts `maru engine` on a socket pair, for real and for scripted
// engines. Threads: all methods may be called from any thread. Events arrive on the client's reader
// thread, so a sink must not block: it hands over to a bounded queue or posts to an executor.
#pragma once
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "link/messages.h"

namespace maru::link {

using RequestId = uint64_t;

// Called for each event of one request in order; the last is Done or Failed, exactly once, also
// where the engine dies. Never called after that.
using GenerateSink = std::function<void(GenerateEvent)>;
// Called once, also where the engine dies.
using EmbedSink = std::function<void(Result<EmbedResult>)>;

class Client {
 public:
  virtual ~Client() = default;

  // Starts a generation. Errors of the request itself arrive as Failed too, so that there is one
  // way.
  virtual RequestId generate(GenerateRequest request, GenerateSink sink) = 0;
  // Starts the embedding of a text; those that wait together are evaluated together.
  virtual RequestId start_embed(EmbedRequest request, EmbedSink sink) = 0;
  // Frees the work of a request; its sink still gets its one last event. Unknown ids are ignored.
  virtual void cancel(RequestId id) = 0;

  // These wait for their answer. Errors: the engine's own, or kUnavailable where it died.
  virtual Result<ScoreResult> score(const ScoreRequest& request) = 0;
  // Texts that are asked for together are evaluated together; each has its answer, in their order.
  virtual std::vector<Result<EmbedResult>> embed_all(std::vector<EmbedRequest> requests) = 0;
  virtual Result<std::vector<TokenId>> tokenize(const TokenizeRequest& request) = 0;
  virtual Result<std::string> detokenize(const std::vector<TokenId>& ids) = 0;  // raw bytes
  virtual Result<std::string> render(const RenderRequest& request) = 0;
  virtual Result<EngineStats> stats() = 0;

  Result<EmbedResult> embed(EmbedRequest request) {
    return std::move(embed_all({std::move(request)}).front());
  }

  virtual const ModelCard& card() const = 0;
  // False once the engine is gone; every call then answers kUnavailable.
  virtual bool alive() const { return true; }
  // Ends the engine and waits until it is gone; what still runs fails. Not from within a sink.
  virtual void close() {}
};

// How a client is started; tests give their own clock.
struct StartOptions {
  LoadProgress on_progress = {};  // on the client's reader thread, before the start returns
  const Clock* clock = nullptr;   // null: the system's; outlives the client
  int look_every_ms = 1'000;      // how often the watchdog looks at a client that has work
  std::stop_token stop = {};      // ends a start that has not returned: kUnavailable
};

}  // namespace maru::link
