// bench/options.h - what the micro-benchmarks of kernels take: [--isa NAME] [--type NAME]
// [--seconds S].
#pragma once
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/kernel_table.h"

namespace maru {

struct MicroBenchOptions {
  const kernels::KernelTable* table;  // nullptr, and said so, where this machine has none so named
  std::string type;                   // empty: all
  double seconds;                     // of each cell
};

inline MicroBenchOptions read_bench_options(int argc, char** argv, double seconds) {
  MicroBenchOptions options{nullptr, {}, seconds};
  std::string isa;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--isa") isa = argv[i + 1];
    if (flag == "--type") options.type = argv[i + 1];
    if (flag == "--seconds") options.seconds = std::atof(argv[i + 1]);
  }
  options.table = kernels::find_kernels(isa);
  if (options.table == nullptr) fmt::print("no kernels named {} here\n", isa);
  return options;
}

}  // namespace maru
