#include "memory_meter.h"

#include <malloc.h>

#include <atomic>
#include <new>

namespace {

std::atomic<size_t> n_held = 0;
std::atomic<size_t> n_held_max = 0;

[[maybe_unused]] void* counted(void* p) {
  if (p == nullptr) std::abort();
  const size_t now =
      n_held.fetch_add(malloc_usable_size(p), std::memory_order_relaxed) + malloc_usable_size(p);
  size_t most = n_held_max.load(std::memory_order_relaxed);
  while (now > most && !n_held_max.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
  }
  return p;
}

[[maybe_unused]] void release(void* p) {
  if (p == nullptr) return;
  n_held.fetch_sub(malloc_usable_size(p), std::memory_order_relaxed);
  std::free(p);
}

}  // namespace

// ThreadSanitizer's own operator new cannot be replaced: there nothing is counted, and a bound on
// the peak says nothing.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MARU_NO_METER
#endif
#endif

#ifndef MARU_NO_METER
// The array and nothrow forms of the library end up in these.
void* operator new(size_t n_bytes) { return counted(std::malloc(n_bytes == 0 ? 1 : n_bytes)); }
void* operator new(size_t n_bytes, std::align_val_t alignment) {
  void* p = nullptr;
  const int failed = posix_memalign(&p, static_cast<size_t>(alignment), n_bytes);
  return counted(failed != 0 ? nullptr : p);
}
void operator delete(void* p) noexcept { release(p); }
void operator delete(void* p, size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { release(p); }
#endif

namespace maru::testing_support {

MemoryMeter::MemoryMeter() : before_(n_held) { n_held_max = before_; }

size_t MemoryMeter::peak_bytes() const { return n_held_max - before_; }

}  // namespace maru::testing_support
