// base/check.h - CHECK aborts on a bug of ours, in release builds too. Input from outside never
// reaches a CHECK: it gets a Result (base/result.h).
#pragma once

namespace maru {
// Prints "file:line: CHECK failed: expression" to standard error and aborts. Threads: any.
[[noreturn]] void check_failed(const char* file, int line, const char* expression);
}  // namespace maru

#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::maru::check_failed(__FILE__, __LINE__, #condition))

// DCHECK is for inner loops: compiled in the dev and sanitizer presets only.
#ifdef MARU_DCHECK
#define DCHECK(condition) CHECK(condition)
#else
#define DCHECK(condition) static_cast<void>(sizeof((condition) ? 1 : 0))
#endif
