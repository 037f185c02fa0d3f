// model/output_planes.h - the output matrix in two planes (kernels/planes.h), and what a pass keeps
// while it looks for the best logits in them.
//
// The output matrix is a fifth to two thirds of what a decoded token reads. Where only the best
// logits are wanted, the high plane tells which groups of 16 rows may hold one, and the low plane
// of the others is not read. Filled by packer.cc, used by output.cc.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/matrix.h"

namespace maru::model {

// More than so many best are looked for among all.
inline constexpr size_t kBestMax = 128;

struct OutputPlanes {
  Matrix high;                   // kernels::Plane::kHigh of the matrix
  std::vector<uint8_t> weights;  // [n_cols]: kernels/planes.h
  std::vector<float> inverse;    // [n_cols], of the weights
  std::vector<float> rests;      // [n_groups, 16]
};

// Of one pass.
struct OutputSearch {
  std::vector<float> rows;       // [n_rows, d_model]: the inputs, after the final norm
  std::vector<float> uppers;     // [n_rows, n_groups]: no logit of the group is above it
  std::vector<uint8_t> is_done;  // [n_groups]: its logits are there
  std::vector<size_t> seeds;     // groups that are computed first
  std::vector<float> cuts;       // [n_rows]: groups whose upper is below have nothing wanted
  std::vector<std::pair<float, size_t>> likeliest;
  std::vector<float> values;
};

}  // namespace maru::model
