// bench/attention.cc - how fast attention over cached keys and values is on this machine, beside
// what the machine can do. Usage: bench_attention [--isa NAME] [--seconds S per cell]
//
// Per head size: Gflop/s (4 per query row, key and dimension) of n query rows over 1,024 cached
// tokens in the L2 or L3 cache, one thread: 1 to 7 rows are the heads of one token in decoding, 32
// a tile of a prompt. Beside it GB/s of keys and values of 4 rows over 128 MiB of them. Each
// figure is the best of many short bursts, since other programs may be running.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "kernels/roofs.h"
#include "options.h"
#include "timing.h"

namespace maru::kernels {
namespace {

constexpr size_t kHeads[] = {64, 96, 128, 256};
constexpr size_t kRows[] = {1, 2, 3, 4, 6, 7, 8, 32};
constexpr size_t kCachedSpans = 4;
constexpr double kStreamBytes = 128 << 20;  // beyond the caches
constexpr size_t kStreamRows = 4;
constexpr size_t kRowsMax = 32;

// One head's blocks, K then V, and queries over them.
class Head {
 public:
  Head(size_t d_head, size_t n_spans)
      : shape_{d_head, d_head},
        n_spans_(n_spans),
        memory_(n_spans * kSpanBlocks * block_values() + 32),
        q_(kRowsMax * d_head),
        out_(kRowsMax * shape_.v_stride()),
        part_(out_.size()) {
    Rng rng(1);
    for (uint16_t& half : memory_) half = static_cast<uint16_t>(0x2c00 + (rng.next() & 0x83ff));
    for (float& value : q_) value = 0.2f * static_cast<float>(rng.uniform() - 0.5);
  }

  void attend(const OpsTable& ops, size_t n_rows) {
    std::fill(max_.begin(), max_.end(), -std::numeric_limits<float>::infinity());
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    std::fill(out_.begin(), out_.end(), 0.0f);
    const std::vector<KeyRange> keys(n_rows, {0, kSpanTokens});
    for (size_t s = 0; s < n_spans_; ++s) {
      KvSpan span;
      for (size_t b = 0; b < kSpanBlocks; ++b) {
        span.k[b] = block(s * kSpanBlocks + b);
        span.v[b] = span.k[b] + shape_.k_values();
      }
      if (s + 1 < n_spans_) span.next = block((s + 1) * kSpanBlocks);
      ops.attention_span(q_.data(), keys.data(), n_rows, shape_, span, 0.0f, part_.data(),
                         part_max_.data(), part_sum_.data());
      ops.attention_merge(part_.data(), part_max_.data(), part_sum_.data(), n_rows,
                          shape_.v_stride(), out_.data(), max_.data(), sum_.data());
    }
  }

  double n_bytes() const {
    return static_cast<double>(n_spans_ * kSpanBlocks * block_values() * sizeof(uint16_t));
  }
  double flops(size_t n_rows) const {
    return 4.0 * static_cast<double>(n_rows * n_spans_ * kSpanTokens * shape_.d_k);
  }

 private:
  size_t block_values() const { return shape_.k_values() + shape_.v_values(); }
  const uint16_t* block(size_t i) const {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return reinterpret_cast<const uint16_t*>((address + 63) & ~uintptr_t{63}) + i * block_values();
  }

  KvShape shape_;
  size_t n_spans_;
  std::vector<uint16_t> memory_;
  std::vector<float> q_, out_, part_;
  std::vector<float> max_ = std::vector<float>(kRowsMax), sum_ = max_;
  std::vector<float> part_max_ = max_, part_sum_ = max_;
};

int run(int argc, char** argv) {
  const auto [table, type, seconds] = read_bench_options(argc, argv, 0.1);
  if (table == nullptr) return 1;
  const SystemClock clock;
  ThreadPool one(1);
  const Roofs roofs = measure_roofs(table->isa, clock, one);
  fmt::print("isa {}; one thread; read from memory {:.1f} GB/s; {} {:.0f} Gop/s", table->isa,
             roofs.read_bytes_per_s / 1e9, roofs.instruction, roofs.int8_ops_per_s / 1e9);
  // As many a cycle on AMD's Zen 4 and 5: 2 flops where that has 8 operations.
  if (roofs.instruction == "vpdpbusd") {
    fmt::print("; float32 fma {:.0f} Gflop/s", roofs.int8_ops_per_s / 4e9);
  }
  fmt::print("\n");
  fmt::print("d_head | Gflop/s of rows");
  for (size_t n : kRows) fmt::print("{:4}   ", n);
  fmt::print("| GB/s\n");
  for (size_t d_head : kHeads) {
    fmt::print("{:6} |                ", d_head);
    Head cached(d_head, kCachedSpans);
    for (size_t n : kRows) {
      const double time = best(seconds, [&] { cached.attend(table->ops, n); });
      fmt::print("{:6.0f} ", cached.flops(n) / time / 1e9);
    }
    const double span_bytes = cached.n_bytes() / kCachedSpans;
    Head streamed(d_head, static_cast<size_t>(kStreamBytes / span_bytes));
    const double time = best(2 * seconds, [&] { streamed.attend(table->ops, kStreamRows); });
    fmt::print("|{:5.1f}\n", streamed.n_bytes() / time / 1e9);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace maru::kernels

int main(int argc, char** argv) { return maru::kernels::run(argc, argv); }
