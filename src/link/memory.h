// link/memory.h - how much memory the machine has left.
//
// load.cc sizes caches by it, and app/ gives it to the supervisor. Threads: any.
#pragma once
#include <cstdint>

namespace maru::link {

// Bytes that can be had without swapping; 0 where the system does not say.
uint64_t available_memory();

}  // namespace maru::link
