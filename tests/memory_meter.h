// memory_meter.h - how much memory a piece of code held at once, for tests that bound it.
//
// Linked into the test programs of folders that read bytes from outside (CMakeLists.txt): replaces
// operator new and delete, so that a bound needs no clock and no /proc. What is mapped or taken by
// malloc() directly is not seen.
// Threads: counts all threads together; one MemoryMeter at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>

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

// A number from the environment. MARU_FUZZ_ITERATIONS sets how long a fuzz loop runs,
// MARU_FUZZ_SEED where it starts: the seed that a failure printed and 1 iteration repeat it.
inline uint64_t setting(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

}  // namespace maru::testing_support
