// bench/kernels.cc - how fast the packed matrix products are on this machine, beside what the
// machine can do. Usage: bench_kernels [--isa NAME] [--type NAME] [--seconds S per cell]
//
// Per type: GB/s of weights at one token from memory (a matrix larger than the caches) and Gop/s
// (2 per multiplication) at n tokens with weights and activations in the L2 cache, one thread; how
// fast activations are quantized and, in GB/s of the file, weights packed. Each figure is the best
// of many short bursts, since other programs may be running.
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "kernels/packed_layout.h"
#include "kernels/roofs.h"
#include "options.h"
#include "timing.h"

namespace maru::kernels {
namespace {

using tensor::DType;

constexpr DType kTypes[] = {DType::kQ4_K,  DType::kQ6_K, DType::kQ8_0,   DType::kQ5_0,
                            DType::kQ4_1,  DType::kQ4_0, DType::kQ5_K,   DType::kQ5_1,
                            DType::kQ2_K,  DType::kQ3_K, DType::kIQ4_NL, DType::kIQ4_XS,
                            DType::kMXFP4, DType::kF16,  DType::kBF16,   DType::kF32};
constexpr size_t kTokens[] = {1, 2, 4, 8, 16, 64, 256};
constexpr size_t kColumns = 1536;
constexpr size_t kRows = 256;                // in the L2 cache
constexpr size_t kStreamBytes = 256u << 20;  // beyond the caches

std::byte* aligned(std::vector<std::byte>& memory, size_t n_bytes) {
  memory.resize(n_bytes + 64);
  auto address = reinterpret_cast<uintptr_t>(memory.data());
  return reinterpret_cast<std::byte*>((address + 63) & ~uintptr_t{63});
}

// Any bytes are a packed matrix; with these all factors and floats are ordinary numbers.
void fill(std::byte* bytes, size_t n_bytes) {
  Rng rng(1);
  for (size_t i = 0; i < n_bytes; ++i) bytes[i] = static_cast<std::byte>((rng.next() & 3) | 0x38);
}

void bench_type(const KernelTable& table, DType dtype, double seconds, std::byte* stream_memory) {
  const PackedShape shape = packed_shape(dtype, kColumns);
  PackedMatrix w{dtype, kRows, kColumns, shape.group_bytes, nullptr};
  std::vector<std::byte> weights, activations;
  std::byte* data = aligned(weights, w.n_groups() * shape.group_bytes);
  fill(data, w.n_groups() * shape.group_bytes);
  w.data = data;
  const size_t stride = activation_row_bytes(shape.activation, kColumns);
  std::byte* acts = aligned(activations, stride * 256);
  Rng rng(2);
  std::vector<float> x(kColumns);
  for (size_t t = 0; t < 256; ++t) {
    for (float& v : x) v = static_cast<float>(rng.uniform() - 0.5);
    table.matmul.quantize_row(shape.activation, x.data(), kColumns, acts + t * stride);
  }
  std::vector<float> y(256 * kRows);
  std::string line = fmt::format("{:8} ", tensor::dtype_info(dtype).name);
  const size_t n_stream_groups = kStreamBytes / shape.group_bytes;
  PackedMatrix stream{dtype, n_stream_groups * 16, kColumns, shape.group_bytes, stream_memory};
  std::vector<float> stream_y(n_stream_groups * 16);
  for (size_t n : {1, 4}) {
    const double streamed = best(seconds, [&] {
      table.matmul.matmul(stream, 0, n_stream_groups, acts, stride, n, stream_y.data(), 0);
    });
    const auto n_bytes = static_cast<double>(n_stream_groups * shape.group_bytes);
    line += fmt::format("{:7.1f}", n_bytes / streamed / 1e9);
  }
  const double cached = best(seconds / 4, [&] {
    table.matmul.matmul(w, 0, w.n_groups(), acts, stride, 1, y.data(), kRows);
  });
  line +=
      fmt::format("{:7.1f} |", static_cast<double>(w.n_groups() * w.group_bytes) / cached / 1e9);
  for (size_t n : kTokens) {
    const double time = best(seconds / 4, [&] {
      table.matmul.matmul(w, 0, w.n_groups(), acts, stride, n, y.data(), kRows);
    });
    line += fmt::format("{:7.0f}", 2.0 * kRows * kColumns * static_cast<double>(n) / time / 1e9);
  }
  const double quantize = best(seconds / 8, [&] {
    for (int i = 0; i < 8; ++i) {
      table.matmul.quantize_row(shape.activation, x.data(), kColumns, acts);
    }
  });
  const tensor::DTypeInfo& info = tensor::dtype_info(dtype);
  std::vector<std::byte> rows(kRows * kColumns / info.block_elements * info.block_bytes);
  const double pack =
      best(seconds / 8, [&] { table.pack_groups(w, rows.data(), 0, w.n_groups(), data); });
  fmt::print("{} |{:6.2f} {:7.1f}\n", line, 8 * kColumns / quantize / 1e9,
             static_cast<double>(rows.size()) / pack / 1e9);
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  const auto [table, type, seconds] = read_bench_options(argc, argv, 0.2);
  if (table == nullptr) return 1;
  // Huge pages, as the weights of a model lie in.
  void* mapped = ::mmap(nullptr, 2 * kStreamBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return 1;
  ::madvise(mapped, 2 * kStreamBytes, MADV_HUGEPAGE);
  auto* memory = static_cast<std::byte*>(mapped);
  fill(memory, 1 << 20);
  for (size_t at = 1 << 20; at < kStreamBytes + (1 << 20); at += 1 << 20) {
    std::memcpy(memory + at, memory, 1 << 20);
  }
  const SystemClock clock;
  ThreadPool one(1);
  const Roofs roofs = measure_roofs(table->isa, clock, one);
  fmt::print("isa {}; one thread; read from memory {:.1f} GB/s; {} {:.0f} Gop/s\n", table->isa,
             roofs.read_bytes_per_s / 1e9, roofs.instruction, roofs.int8_ops_per_s / 1e9);
  fmt::print("type    stream1 stream4 cache | Gop/s at n =");
  for (size_t n : kTokens) fmt::print("{:4}   ", n);
  fmt::print("| quantize Gvalues/s, pack GB/s\n");
  for (DType dtype : kTypes) {
    if (type.empty() || type == tensor::dtype_info(dtype).name) {
      bench_type(*table, dtype, seconds, memory);
    }
  }
  return 0;
}

}  // namespace
}  // namespace maru::kernels

int main(int argc, char** argv) { return maru::kernels::run(argc, argv); }
