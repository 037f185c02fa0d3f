// model/matrix.h - a packed matrix of a layer with what its products need beside it.
#pragma once
#include <cstddef>
#include <vector>

#include "kernels/kernel_table.h"

namespace maru::model {

// y = W x + bias.
struct Matrix {
  kernels::PackedMatrix packed;  // n_rows 0: the layer has no such matrix
  kernels::Activation activation = kernels::Activation::kF32;
  std::vector<float> bias;  // [n_rows] or empty

  bool present() const { return packed.n_rows > 0; }
  size_t n_bytes() const { return packed.n_bytes(); }
};

// Adds a part of a bias, from `begin` on; nothing where there is none.
inline void add_bias(const std::vector<float>& bias, size_t begin, float* values, size_t n) {
  if (bias.empty()) return;
  for (size_t i = 0; i < n; ++i) values[i] += bias[begin + i];
}

}  // namespace maru::model
