// serve/openai/replay.h - runs the request of a receipt again, the way the server ran it.
//
// app/cmd_replay.cc calls it with a fresh engine. Threads: waits on the caller's thread; the answer
// comes on the client's.
#pragma once
#include <memory>

#include "base/clock.h"
#include "link/client.h"
#include "serve/openai/receipt.h"

namespace maru::serve::openai {

// The choices, as the receipt has them.
// Errors: kInvalidArgument or kUnsupported where this build takes the request no more; the
// engine's.
Result<Json> replay(const Receipt& receipt, std::shared_ptr<link::Client> client,
                    const Clock& clock);

}  // namespace maru::serve::openai
