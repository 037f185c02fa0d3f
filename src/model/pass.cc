#include "model/pass.h"

#include <algorithm>

#include "base/check.h"

namespace maru::model {

void Pass::clear() {
  rows.clear();
  runs.clear();
  logit_rows.clear();
  wanted.clear();
  has_adapters = false;
}

size_t Pass::take(const Slice& slice, size_t done) {
  const size_t n = std::min(slice.tokens.size() - done, kPassRows - rows.size());
  if (n == 0) return 0;
  const size_t end = slice.position + slice.tokens.size();
  CHECK(slice.blocks.size() * kBlockTokens >= end && slice.n_logits <= slice.tokens.size());
  const size_t first_logit = slice.tokens.size() - slice.n_logits;
  has_adapters |= slice.adapter != 0;
  runs.push_back({rows.size(), n, slice.position + done, slice.state, slice.blocks});
  for (size_t i = done; i < done + n; ++i) {
    const size_t position = slice.position + i;
    if (i >= first_logit) {
      logit_rows.push_back(rows.size());
      wanted.push_back(slice.wanted);
    }
    rows.push_back(
        {slice.tokens[i], position, slice.blocks[position / kBlockTokens], slice.adapter});
  }
  return n;
}

}  // namespace maru::model
