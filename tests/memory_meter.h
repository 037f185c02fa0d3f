// memory_meter.h - what a hostile input cost: the memory held at once, for tests to bound, and the
// CPU time of the slowest, for people to read (machines differ, so no test asserts it).
//
// Linked into the test programs of folders that read bytes from outside (CMakeLists.txt): replaces
// operator new and delete, so that a bound needs no clock and no /proc. What is mapped or taken by
// malloc() directly is not seen.
// Threads: counts all threads together; one MemoryMeter at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace maru::testing_support {

// The most that an input may cost besides its own size (issue "Hostile files").
inline constexpr size_t kHostileMemoryMax = 64 << 20;

class MemoryMeter {
 public:
  MemoryMeter();
  // The most that was held at any moment since construction, beyond what was held then.
  size_t peak_bytes() const;

 private:
  size_t before_;
};

// Prints at its end which input of a loop took longest.
class SlowestInput {
 public:
  explicit SlowestInput(const char* loop) : loop_(loop) {}
  ~SlowestInput() {
    std::printf("%s: the slowest input has seed %llu and took %.2f ms\n", loop_,
                static_cast<unsigned long long>(seed_),
                1e3 * static_cast<double>(most_) / CLOCKS_PER_SEC);
  }
  SlowestInput(const SlowestInput&) = delete;
  SlowestInput& operator=(const SlowestInput&) = delete;
  // The input of this seed began at `begin` and ends now.
  void add(uint64_t seed, std::clock_t begin) {
    const std::clock_t took = std::clock() - begin;
    if (took <= most_) return;
    most_ = took;
    seed_ = seed;
  }

 private:
  const char* loop_;
  std::clock_t most_ = 0;
  uint64_t seed_ = 0;
};

// A number from the environment. MARU_FUZZ_ITERATIONS sets how long a fuzz loop runs,
// MARU_FUZZ_SEED where it starts: the seed that a failure printed and 1 iteration repeat it.
inline uint64_t setting(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

}  // namespace maru::testing_support
