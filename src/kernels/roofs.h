// kernels/roofs.h - what this machine's memory and cores can do at most, measured now.
//
// Called by `maru bench` and bench/kernels.cc, which show their figures as a fraction of these. It
// must not know a model. Source: the roofline model (Williams, Waterman, Patterson 2009).
#pragma once
#include <string_view>

#include "base/clock.h"
#include "base/thread_pool.h"

namespace maru::kernels {

struct Roofs {
  double read_bytes_per_s = 0;       // plain reads of memory, beyond the caches: the best burst
  double sustained_bytes_per_s = 0;  // the same, mean of 0.4 s: neighbours have their share
  double int8_ops_per_s = 0;         // products and sums from registers, 2 per multiplication
  std::string_view instruction;  // by which; "none" (and a rate of 0) where there is no such loop
};

// Measures with all threads of the pool at once. Peaks are the best of many bursts, as other
// programs may be running; the memory is in huge pages where the system has them. isa: a name of
// kernel_table.h. Takes about a second and 256 MiB.
// Threads: those that the pool's contract names.
Roofs measure_roofs(std::string_view isa, const Clock& clock, ThreadPool& pool);

}  // namespace maru::kernels
