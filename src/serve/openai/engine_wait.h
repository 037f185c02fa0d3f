// serve/openai/engine_wait.h - a request whose model may have to be loaded first.
//
// A stream that waits long begins before its engine is there: comments say how far the load is, so
// that neither the client nor a proxy between takes the connection for dead. Everybody else waits
// for a status: what is wrong with a model is told by one.
// Threads: any; the callback runs where the engine is handed over, or at once.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "serve/http.h"
#include "serve/services.h"

namespace maru::serve::openai {

// A load that is shorter shows nothing.
inline constexpr int64_t kQuietLoadNs = 2'000'000'000;

struct EngineRequest {
  std::string model = {};
  bool stream = false;
  // Whether this engine can do what is wanted; its error is the answer. Asked twice: with what is
  // known of the model before it is loaded, and with what the engine says.
  std::function<Result<void>(const link::ModelCard&)> check = {};
  // stream_begun: the head of a stream was sent.
  std::function<void(std::shared_ptr<link::Client>, std::shared_ptr<ResponseWriter>,
                     bool stream_begun)>
      go = {};
};

// Answers itself where there is no such model or no engine.
void with_engine(const Services& services, EngineRequest request,
                 std::shared_ptr<ResponseWriter> writer);

// The head of every stream.
Response stream_head();
// Ends a request that nobody answers any more by an error; stream_begun: as its last event.
void answer_error(ResponseWriter& writer, const Error& error, std::string_view wire_code,
                  bool stream_begun);
inline constexpr std::string_view kModelNotFound = "model_not_found";

}  // namespace maru::serve::openai
