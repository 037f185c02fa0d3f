// link/host_io.h - the engine's side of the protocol: greeting, commands in, events out.
//
// engine_host.cc and scripted_engine.cc stand on it. It must not know what a command does.
// Source: docs/formats/engine-protocol.md.
// Threads: one reads; HostWriter may be used from any.
#pragma once
#include <mutex>
#include <optional>

#include "link/wire.h"

namespace maru::link {

class HostWriter {
 public:
  explicit HostWriter(int fd) : fd_(fd) {}

  // A client that is gone is no error here: the reading thread learns of it, and the rest is
  // dropped. An event above the frame limit becomes Failed.
  void write(RequestId id, const EventBody& event);

 private:
  const int fd_;
  std::mutex mutex_;
  bool broken_ = false;
};

struct Incoming {
  RequestId id = 0;
  Command command;
};

// The next sound command; one with bad fields is answered here.
// Empty where the client has closed, or broke the protocol (which is logged).
std::optional<Incoming> next_command(int fd, HostWriter& writer);

struct IncomingLoad {
  RequestId id = 0;
  LoadRequest load;
};

// Greets and waits for Load. Empty as above, and for a foreign version.
std::optional<IncomingLoad> accept_load(int fd, HostWriter& writer);

// The refusal of a conversation by a model that has no template for it.
Error no_chat_template_error();
// The refusal of a prompt or a score by an encoder.
Error makes_no_text_error();

}  // namespace maru::link
