// link/socket_client.h - the client's side of the engine protocol over any connected socket.
//
// process_client.h and in_process.h start what is at the other end; serve/ and app/ see a Client.
// One thread per client connects, reads events and calls the sinks. It must not know HTTP.
// Source: docs/formats/engine-protocol.md.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "link/client.h"

namespace maru::link {

// What is at the other end of a socket.
class Peer {
 public:
  virtual ~Peer() = default;
  // Called once, after our end was closed: waits until the other side is gone, by force if need be,
  // and says how it ended: "the engine process was killed by signal 9 (Killed)".
  virtual std::string wait_end() = 0;
};

struct Connection {
  int fd = -1;  // owned by whoever holds the Connection
  std::unique_ptr<Peer> peer;
};

// Runs on the client's reader thread, which lives as long as the client.
using Connector = std::function<Result<Connection>()>;

// Connects, greets and loads; returns once the model is there. An engine that has work and makes no
// progress (watchdog.h) is ended.
// Errors: the connector's; the engine's (bad file, no memory); kUnavailable where it died.
// Threads: the client's blocking calls must not be made from a sink. It may be destroyed from one.
Result<std::unique_ptr<Client>> start_socket_client(Connector connector, const LoadRequest& load,
                                                    const StartOptions& start = {});

}  // namespace maru::link
