// link/in_process.h - an engine on a thread of this process, behind a real socket pair.
//
// For tests only (of link/, serve/ and app/): the same client, frames and host as in production,
// without a second program. Threads: any.
#pragma once
#include <functional>
#include <memory>

#include "link/client.h"

namespace maru::link {

// Serves the socket until its peer closes it. Does not close it.
using EngineMain = std::function<void(int fd)>;

Result<std::unique_ptr<Client>> start_in_process(EngineMain engine_main, const LoadRequest& load,
                                                 const StartOptions& start = {});

}  // namespace maru::link
