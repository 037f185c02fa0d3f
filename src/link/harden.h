// link/harden.h - takes from an engine process what it does not need, before it reads a model.
//
// engine_host.cc calls it first of all when it is a process of its own. After it: no sockets, no
// other programs, no files written or changed, no tracing, no core dumps, no new privileges.
// Reading files, mapping memory and starting threads go on. A forbidden call fails with EPERM.
// Threads: holds for all threads of the process.
#pragma once
#include <string>

namespace maru::link {

// The level reached, for the administrator: "seccomp", or "none" and why.
std::string harden_engine();

}  // namespace maru::link
