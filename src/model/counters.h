// model/counters.h - what a forward pass cost, counted instead of timed: the guard against lost
// speed that tests compare with exact numbers.
//
// None depends on the number of threads, the instruction set or the machine.
#pragma once
#include <cstdint>

namespace maru::model {

struct Counters {
  uint64_t matmul_calls = 0;  // calls of MatmulTable::matmul
  uint64_t weight_bytes = 0;  // packed weight bytes those calls were handed
  uint64_t barriers = 0;      // parallel_for calls
  uint64_t rows = 0;          // tokens forwarded

  friend bool operator==(const Counters&, const Counters&) = default;
};

}  // namespace maru::model
