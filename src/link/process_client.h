// link/process_client.h - starts an engine process at the other end of a socket pair.
//
// The supervisor (serve/) and the commands of the terminal (app/) call it.
// The child finds its end as descriptor 3 (kEngineFd), /dev/null as standard input, our standard
// error as standard output and error, nothing else open but kKvFileFd where it gets one, and only
// the environment given here. It has a process group of its own, so that Ctrl-C in a terminal
// reaches us and not the engine, and dies when we die. Threads: any.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "link/client.h"

namespace maru::link {

struct ProcessOptions {
  std::vector<std::string> argv;  // argv[0] is the path of the program: /proc/self/exe
  std::vector<std::string> env;   // "NAME=value"
  int kv_file_fd = -1;            // becomes the child's kKvFileFd; stays the caller's
};

// Returns once the model is loaded.
// Errors: kIo where the program cannot be started; the engine's own; kUnavailable where it died.
Result<std::unique_ptr<Client>> start_process_client(const ProcessOptions& options,
                                                     const LoadRequest& load,
                                                     const StartOptions& start = {});

}  // namespace maru::link
