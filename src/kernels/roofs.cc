// kernels/roofs.cc - loops of one instruction on registers, and plain reads.
#include "kernels/roofs.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "kernels/kernel_table.h"
#include "kernels/target.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace maru::kernels {
namespace {

constexpr size_t kReadBytes = size_t{256} << 20;
constexpr size_t kReadChunk = size_t{1} << 20;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr int kReadBursts = 12;
constexpr double kSustainedSeconds = 0.4;
constexpr int kPeakBursts = 40;
constexpr int kTurns = 20000;

// One loop that keeps a unit busy, and what it does in one call.
struct PeakLoop {
  std::string_view instruction = "none";
  double ops = 0;
  void (*run)() = nullptr;
};

#if defined(__x86_64__)
MARU_TARGET_BEGIN("avx2")
namespace avx2 {
// Bytes multiplied in pairs, then sums in pairs, then added: 32 products in 3 instructions.
void loop() {
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), sums[8];
  const __m256i ones = _mm256_set1_epi16(1);
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int turn = 0; turn < kTurns; ++turn) {
    asm volatile("" : "+x"(a), "+x"(b));
    MARU_UNROLL for (int i = 0; i < 8; ++i) {
      __m256i products = _mm256_maddubs_epi16(a, b);
      asm volatile("" : "+x"(products));  // not the same one eight times
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(products, ones));
    }
  }
  for (__m256i& sum : sums) asm volatile("" : : "x"(sum));
}
}  // namespace avx2
MARU_TARGET_END

MARU_TARGET_BEGIN("avxvnni,avx2")
namespace avxvnni {
// 12 chains of vpdpbusd hide its latency.
void loop() {
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), sums[12];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int turn = 0; turn < kTurns; ++turn) {
    asm volatile("" : "+x"(a), "+x"(b));
    MARU_UNROLL for (int i = 0; i < 12; ++i) sums[i] = _mm256_dpbusd_avx_epi32(sums[i], a, b);
  }
  for (__m256i& sum : sums) asm volatile("" : : "x"(sum));
}
}  // namespace avxvnni
MARU_TARGET_END

MARU_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vnni")
namespace avx512 {
// The same with 64 bytes.
void loop() {
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5), sums[12];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (int turn = 0; turn < kTurns; ++turn) {
    asm volatile("" : "+v"(a), "+v"(b));
    MARU_UNROLL for (int i = 0; i < 12; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  for (__m512i& sum : sums) asm volatile("" : : "v"(sum));
}
}  // namespace avx512
MARU_TARGET_END

MARU_TARGET_BEGIN("amx-tile,amx-int8")
namespace amx {
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t unused[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// 4 sums of 2 by 2 operands: 16 x 16 x 64 products in one instruction.
void loop() {
  const TileConfig config;
  asm volatile("" : : : "memory");
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int turn = 0; turn < kTurns / 10; ++turn) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}
}  // namespace amx
MARU_TARGET_END

PeakLoop peak_loop(std::string_view isa) {
  if (isa == "amx") {
    return {"tdpbssd", 2.0 * (kTurns / 10) * 4 * 16 * 16 * 64, amx::loop};
  }
  if (isa == "avx512") return {"vpdpbusd", 2.0 * kTurns * 12 * 64, avx512::loop};
  if (isa == "avxvnni") return {"vpdpbusd", 2.0 * kTurns * 12 * 32, avxvnni::loop};
  if (isa == "avx2") return {"vpmaddubsw", 2.0 * kTurns * 8 * 32, avx2::loop};
  return {};
}
#else
PeakLoop peak_loop(std::string_view) { return {}; }
#endif

uint64_t read_words(const uint64_t* words, size_t n) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + 8 <= n; i += 8) {
    for (size_t j = 0; j < 8; ++j) sums[j] ^= words[i + j];
  }
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum ^= s;
  return sum;
}

// Seconds of the fastest of n_bursts.
template <class Body>
double fastest(const Clock& clock, int n_bursts, const Body& body) {
  double least = 1e9;
  for (int i = 0; i < n_bursts; ++i) {
    const int64_t begin = clock.monotonic_ns();
    body();
    least = std::min(least, static_cast<double>(clock.monotonic_ns() - begin) * 1e-9);
  }
  return std::max(least, 1e-9);
}

void measure_reads(const Clock& clock, ThreadPool& pool, Roofs& roofs) {
  struct Free {
    void operator()(uint64_t* words) const { std::free(words); }
  };
  constexpr size_t kWords = kReadBytes / sizeof(uint64_t);
  constexpr size_t kChunkWords = kReadChunk / sizeof(uint64_t);
  const std::unique_ptr<uint64_t, Free> memory(
      static_cast<uint64_t*>(std::aligned_alloc(kHugePage, kReadBytes)));
  if (memory == nullptr) return;
  ::madvise(memory.get(), kReadBytes, MADV_HUGEPAGE);  // a wish; the figure is true without
  std::fill_n(memory.get(), kWords, 1);                // each page is real
  const auto read_all = [&] {
    pool.parallel_for(kReadBytes / kReadChunk, [&](size_t chunk, size_t) {
      const uint64_t sum = read_words(memory.get() + chunk * kChunkWords, kChunkWords);
      asm volatile("" : : "r"(sum));
    });
  };
  roofs.read_bytes_per_s = static_cast<double>(kReadBytes) / fastest(clock, kReadBursts, read_all);

  const int64_t begin = clock.monotonic_ns();
  double bytes = 0, seconds = 0;
  while (seconds < kSustainedSeconds) {
    read_all();
    bytes += static_cast<double>(kReadBytes);
    seconds = static_cast<double>(clock.monotonic_ns() - begin) * 1e-9;
  }
  roofs.sustained_bytes_per_s = bytes / seconds;
}

}  // namespace

Roofs measure_roofs(std::string_view isa, const Clock& clock, ThreadPool& pool) {
  Roofs roofs;
  measure_reads(clock, pool, roofs);
  const PeakLoop loop = find_kernels(isa) == nullptr ? PeakLoop{} : peak_loop(isa);
  roofs.instruction = loop.instruction;
  if (loop.run == nullptr) return roofs;
  const size_t n = pool.n_threads();
  const double peak_seconds = fastest(
      clock, kPeakBursts, [&] { pool.parallel_for(n, [&](size_t, size_t) { loop.run(); }); });
  roofs.int8_ops_per_s = static_cast<double>(n) * loop.ops / peak_seconds;
  return roofs;
}

}  // namespace maru::kernels
