// kernels/logits.inl.h - what sampling does with a whole row of logits, over F32x16: a part of
// kernels/ops.inl.h, which includes it.

void block_max(const float* x, size_t n, float* maxima) {
  const F32x16 lowest = F32x16::all(-std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLogitBlock <= n; i += kLogitBlock) {
    F32x16 best = lowest;  // the second operand wins against NaN
    for (size_t j = 0; j < kLogitBlock; j += 16) best = max(F32x16::load(x + i + j), best);
    *maxima++ = best.largest();
  }
  if (i == n) return;
  float best = -std::numeric_limits<float>::infinity();
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  *maxima = best;
}

void upper_bounds(const float* sums, const float* rests, float reach, size_t n_groups,
                  float* uppers) {
  const F32x16 r = F32x16::all(reach);
  const F32x16 none = F32x16::all(std::numeric_limits<float>::infinity());
  for (size_t group = 0; group < n_groups; ++group) {
    const F32x16 upper = fma(F32x16::load(rests + 16 * group), r, F32x16::load(sums + 16 * group));
    uppers[group] = min(upper, none).largest();  // the second operand wins against NaN
  }
}

MARU_INLINE F32x16 softmax_weight(const F32x16& x, const F32x16& best, const F32x16& scale) {
  return exp((x - best) * scale);
}

void softmax_weights(const float* x, size_t n, float best, float scale, float* y) {
  const F32x16 b = F32x16::all(best);
  const F32x16 s = F32x16::all(scale);
  for_vectors(n, [&](size_t i, size_t lanes) {
    store_n(softmax_weight(load_n(x + i, lanes), b, s), y + i, lanes);
  });
}

void softmax_sums(const float* x, size_t n, float best, float scale, float* sums) {
  const F32x16 b = F32x16::all(best);
  const F32x16 s = F32x16::all(scale);
  const auto sum_block = [&](const float* block) MARU_INLINE_LAMBDA {
    F32x16 weight[4];
    for (size_t j = 0; j < 4; ++j) {
      weight[j] = softmax_weight(F32x16::load(block + 16 * j), b, s);
    }
    return ((weight[0] + weight[1]) + (weight[2] + weight[3])).sum();
  };
  static_assert(kLogitBlock == 64);
  size_t i = 0;
  for (; i + kLogitBlock <= n; i += kLogitBlock) *sums++ = sum_block(x + i);
  if (i == n) return;
  float last[kLogitBlock];
  for (size_t j = 0; j < kLogitBlock; ++j) {
    last[j] = i + j < n ? x[i + j] : -std::numeric_limits<float>::infinity();
  }
  *sums = sum_block(last);
}
