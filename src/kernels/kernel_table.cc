// kernels/kernel_table.cc - which tables this machine can run.
#include "kernels/kernel_table.h"

#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/tables.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace maru::kernels {

namespace {

#if defined(__x86_64__)
// The builtins ask the processor and, for the wider registers, the system's part of XCR0.
bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}
bool has_avxvnni() {
  constexpr unsigned kAvxVnni = 1u << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) == 0) return false;
  return has_avx2() && (eax & kAvxVnni) != 0;
}
bool has_avx512() {
  __builtin_cpu_init();
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

// The system must have granted the tile registers to this process as well.
bool has_amx() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kAmxTile) == 0 || (edx & kAmxInt8) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

#if defined(__x86_64__)
// Whether there is vdpbf16ps, and it rounds as docs/formats/numerics.md says (Zen 5 does; Intel's
// manual describes the same): a small product is tried.
bool has_bf16_products() {
  __builtin_cpu_init();
  if (!has_avx512() || !__builtin_cpu_supports("avx512bf16")) return false;
  constexpr size_t kColumns = 256;
  alignas(64) std::byte weights[kColumns * 2 * 16];
  alignas(64) std::byte x[kColumns * 2];
  Rng rng(1);
  const auto fill = [&](std::span<std::byte> values) {  // of all magnitudes within 2^16
    for (size_t i = 0; i < values.size(); i += 2) {
      values[i] = static_cast<std::byte>(rng.next());
      values[i + 1] = static_cast<std::byte>(0x3C + rng.below(8) + 0x80 * rng.below(2));
    }
  };
  fill(weights);
  fill(x);
  const PackedMatrix w{tensor::DType::kBF16, 16, kColumns, sizeof weights, weights};
  float want[16], got[16];
  kMatmulScalar.matmul(w, 0, 1, x, sizeof x, 1, want, 16);
  kMatmulAvx512Bf16.matmul(w, 0, 1, x, sizeof x, 1, got, 16);
  return std::memcmp(want, got, sizeof want) == 0;
}
#endif

std::vector<const KernelTable*> runnable_tables() {
  static const KernelTable scalar = {"scalar", kMatmulScalar, kOpsScalar, pack_groups,
                                     kPlanesScalar};
  std::vector<const KernelTable*> tables = {&scalar};
#if defined(__x86_64__)
  static const KernelTable avx2 = {"avx2", kMatmulAvx2, kOpsAvx2, kPackAvx2, kPlanesAvx2};
  static const KernelTable avxvnni = {"avxvnni", kMatmulAvxVnni, kOpsAvx2, kPackAvx2, kPlanesAvx2};
  const bool bf16 = has_bf16_products();
  static const KernelTable avx512 = {"avx512", bf16 ? kMatmulAvx512Bf16 : kMatmulAvx512, kOpsAvx512,
                                     kPackAvx512, kPlanesAvx512};
  if (has_avx2()) tables.push_back(&avx2);
  if (has_avxvnni()) tables.push_back(&avxvnni);
  if (has_avx512()) tables.push_back(&avx512);
  static const KernelTable amx = {"amx", bf16 ? kMatmulAmxBf16 : kMatmulAmx, kOpsAvx512,
                                  kPackAvx512, kPlanesAvx512};
  if (has_avx512() && has_amx()) tables.push_back(&amx);
#endif
  return tables;
}

}  // namespace

std::span<const KernelTable* const> available_kernels() {
  static const std::vector<const KernelTable*> tables = runnable_tables();
  return tables;
}

const KernelTable* find_kernels(std::string_view isa) {
  if (isa.empty()) return available_kernels().back();
  for (const KernelTable* table : available_kernels()) {
    if (table->isa == isa) return table;
  }
  return nullptr;
}

}  // namespace maru::kernels
