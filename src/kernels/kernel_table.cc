// kernels/kernel_table.cc - which tables this machine can run.
#include "kernels/kernel_table.h"

#include <array>

#include "kernels/tables.h"

namespace maru::kernels {

std::span<const KernelTable* const> available_kernels() {
  static const KernelTable scalar = {"scalar", kMatmulScalar, kOpsScalar};
  static const std::array<const KernelTable*, 1> tables = {&scalar};
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
