// model/recurrent.h - where the parts of a row of Workspace::mix are: what a layer without
// attention computes from a token before its tokens meet.
#pragma once
#include <cstddef>

#include "model/spec.h"

namespace maru::model {

struct MixColumns {
  // kShortConv: b, c, x. Else the inputs of the convolution, which become, in place, the keys,
  // queries and values; the values then become the outputs.
  size_t query = 0, key = 0, value = 0;
  size_t z = 0;
  size_t alpha = 0, beta = 0;  // as they come from their matrices
  size_t decay = 0;            // [n_head]: factor of the state
  size_t share = 0;            // [n_head]: factor of what is added
  size_t n = 0;

  explicit MixColumns(const DecoderSpec& spec) {
    const RecurrentSpec& r = spec.recurrent;
    if (r.kind == RecurrentKind::kNone) return;
    if (r.kind == RecurrentKind::kShortConv) {
      n = 3 * spec.d_model;
      return;
    }
    if (r.kind == RecurrentKind::kStateSpace) {
      key = r.n_inner();
      query = key + r.n_keys();
    } else {
      key = r.n_keys();
      value = 2 * r.n_keys();
    }
    z = spec.n_conv();
    alpha = z + r.n_inner();
    beta = alpha + r.n_head;
    decay = beta + r.n_head;
    share = decay + r.n_head;
    n = share + r.n_head;
  }
};

}  // namespace maru::model
