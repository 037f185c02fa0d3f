// bench/roofs.h - what this machine's cores and memory can do at most, measured.
#pragma once
#include <cstddef>

namespace maru::bench {

// Reads every line once. Shapes: n_bytes is a multiple of 256.
void read_all(const void* bytes, size_t n_bytes);
// The rate of int8 products from registers with each instruction set that is here, in Gop/s.
void print_int8_peaks();

}  // namespace maru::bench
