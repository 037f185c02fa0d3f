// link/engine_host.h - what `maru engine` runs: one model behind one socket.
//
// Two threads: the caller's reads commands, renders templates and tokenizes; the engine thread owns
// engine::Engine and nothing else touches it. They meet in a bounded mailbox; both write events.
// It must not know: HTTP, users, where the model came from.
// Source: docs/formats/engine-protocol.md.
#pragma once
#include "base/clock.h"
#include "link/load.h"

namespace maru::link {

struct HostOptions {
  const Clock* clock = nullptr;  // required
  // Harden the process before anything is read (link/harden.h): only where it is an engine's own.
  bool harden = false;
  Loader loader = load_from_files;
  int kv_file_fd = -1;  // used where Load says so
};

// Serves until the client closes the socket or breaks the protocol. Does not close the socket.
void serve_engine(int fd, const HostOptions& options);

}  // namespace maru::link
