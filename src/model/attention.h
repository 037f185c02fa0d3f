// model/attention.h - sizes of one tile of attention, and a worker's memory for it.
#pragma once
#include <algorithm>
#include <cstddef>

#include "model/spec.h"

namespace maru::model {

// Queries (tokens times the heads that share a KV head) that read a KV block together: the block is
// loaded once for all, and 16 to 32 rows keep the vector units busy.
inline constexpr size_t kAttentionRows = 32;

struct AttentionSizes {
  size_t d_k = 0;
  size_t v_stride = 0;
  size_t n_rows = 0;  // kAttentionRows, or all heads of a group where they are more

  explicit AttentionSizes(const DecoderSpec& spec) : d_k(spec.d_k) {
    v_stride = (spec.d_v + 15) / 16 * 16;
    n_rows = std::max(kAttentionRows, spec.n_head);
  }
  // q, out and one partial's out, max and sum, and that of the running result; a KeyRange of each.
  size_t n_floats() const { return n_rows * (d_k + 2 * v_stride + 5); }
  // One partial's out, max and sum of n_q queries.
  size_t partial_floats(size_t n_q) const { return n_q * (v_stride + 2); }
};

}  // namespace maru::model
