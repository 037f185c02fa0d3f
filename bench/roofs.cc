// bench/roofs.cc - roofs of the machine: loops of one instruction on registers, and plain reads.
#include "bench/roofs.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "kernels/target.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace maru::bench {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Gop/s of the best of 40 bursts of a loop that does `ops` operations.
template <class F>
double peak(double ops, const F& loop) {
  double least = 1e9;
  for (int i = 0; i < 40; ++i) {
    const double begin = now();
    loop();
    least = std::min(least, now() - begin);
  }
  return ops / least / 1e9;
}

}  // namespace

#if defined(__x86_64__)
constexpr int kTurns = 20000;

MARU_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vnni")
namespace avx512 {
// 12 chains of vpdpbusd hide its latency.
void vnni_loop() {
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5), sums[12];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (int turn = 0; turn < kTurns; ++turn) {
    asm volatile("" : "+v"(a), "+v"(b));
    MARU_UNROLL for (int i = 0; i < 12; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  for (__m512i& sum : sums) asm volatile("" : : "v"(sum));
}

void read_all(const char* p, size_t n_bytes) {
  __m512i sums[4] = {};
  for (size_t i = 0; i < n_bytes; i += 256) {
    MARU_UNROLL for (int j = 0; j < 4; ++j) {
      sums[j] = _mm512_xor_si512(sums[j], _mm512_loadu_si512(p + i + 64 * static_cast<size_t>(j)));
    }
  }
  for (__m512i& sum : sums) asm volatile("" : : "v"(sum));
}
}  // namespace avx512
MARU_TARGET_END

void read_all(const void* bytes, size_t n_bytes) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vnni")) {
    return avx512::read_all(static_cast<const char*>(bytes), n_bytes);
  }
  const auto* words = static_cast<const uint64_t*>(bytes);
  uint64_t sum = 0;
  for (size_t i = 0; i < n_bytes / 8; ++i) sum ^= words[i];
  asm volatile("" : : "r"(sum));
}

void print_int8_peaks() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vnni")) {
    fmt::print("vpdpbusd {:.0f} Gop/s\n", peak(12.0 * kTurns * 128, avx512::vnni_loop));
  } else {
    fmt::print("not measured\n");
  }
}
#else
void read_all(const void* bytes, size_t n_bytes) {
  const auto* words = static_cast<const uint64_t*>(bytes);
  uint64_t sum = 0;
  for (size_t i = 0; i < n_bytes / 8; ++i) sum ^= words[i];
  asm volatile("" : : "r"(sum));
}
void print_int8_peaks() { fmt::print("not measured\n"); }
#endif

}  // namespace maru::bench
