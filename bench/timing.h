// bench/timing.h - how the micro-benchmarks take time: the best of many short bursts, since other
// programs may be running.
#pragma once
#include <algorithm>
#include <chrono>

namespace maru {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds of the fastest call within the time given.
template <class F>
double best(double seconds, const F& f) {
  const double end = now() + seconds;
  double least = 1e9;
  do {
    const double begin = now();
    f();
    least = std::min(least, now() - begin);
  } while (now() < end);
  return least;
}

}  // namespace maru
