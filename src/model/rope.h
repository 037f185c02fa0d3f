// model/rope.h - rotary position embedding: the angles of every dimension pair, with the scalings
// that models use for long contexts.
//
// Built by the family files at load; rows of cosines and sines are made per token by the decoder.
// Source: Su et al. 2021 (arXiv:2104.09864); YaRN: Peng et al. 2023 (arXiv:2309.00071), section 3.
// Threads: immutable once built.
#pragma once
#include <cstddef>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/config.h"

namespace maru::model {

// Angles are position * inv_freq[i], in double; their cosines and sines are rounded once.
struct Rope {
  bool interleaved = false;      // pairs (2i, 2i+1), else (i, i + n_rot/2)
  std::vector<double> inv_freq;  // n_rot / 2
  double magnitude = 1.0;        // factor of all cosines and sines (YaRN's temperature)

  size_t n_rot() const { return 2 * inv_freq.size(); }
  // Shapes: out [n_rot]: the cosines, then the sines.
  void fill(size_t position, float* out) const;
};

struct YarnScaling {
  double factor = 1.0;
  double n_ctx_original = 0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  bool whole_dimensions = true;  // the range of the ramp is rounded outwards, as most models do
};

Rope plain_rope(size_t n_rot, double base, bool interleaved);
Rope yarn_rope(size_t n_rot, double base, bool interleaved, const YarnScaling& scaling);

// What the metadata keys <arch>.rope.* and the tensor rope_freqs.weight say.
// Errors: kUnsupported names an unknown scaling type; kCorrupt for a value out of range.
Result<Rope> rope_from_config(const Config& config, size_t d_head, bool interleaved,
                              bool yarn_whole_dimensions = true);

}  // namespace maru::model
