// kernels/ops.inl.h - the bodies of OpsTable, written once over F32x16. Included once per
// instruction set, inside its namespace and target region, after its F32x16 and kTileRows,
// kTileVecs.
//
// Every table gives the same bytes: 16 lanes always, the same operations in the same order, fma
// only where it is written. Tiles only group independent sums, so their sizes do not show in
// results.

constexpr float kRoundMagic = 0x1.8p23f;  // adding it rounds to an integer in the last bits

// e^x for x in [-87, 88], 0 below, e^88 above. Accuracy: 2 ulp (kernels_test measures it).
// Source: Cephes expf: x = n ln 2 + r, |r| <= ln 2 / 2, a polynomial of degree 7 in r.
MARU_INLINE F32x16 exp(const F32x16& x0) {
  const F32x16 lowest = F32x16::all(-87.0f);
  const F32x16 x = min(max(x0, lowest), F32x16::all(88.0f));
  const F32x16 t = fma(x, F32x16::all(1.44269504f), F32x16::all(kRoundMagic));
  const F32x16 n = t - F32x16::all(kRoundMagic);
  F32x16 r = fma(n, F32x16::all(-0.693359375f), x);
  r = fma(n, F32x16::all(2.12194440e-4f), r);
  F32x16 p = F32x16::all(1.9875691500e-4f);
  p = fma(p, r, F32x16::all(1.3981999507e-3f));
  p = fma(p, r, F32x16::all(8.3334519073e-3f));
  p = fma(p, r, F32x16::all(4.1665795894e-2f));
  p = fma(p, r, F32x16::all(1.6666665459e-1f));
  p = fma(p, r, F32x16::all(5.0000001201e-1f));
  p = fma(p, r * r, r) + F32x16::all(1.0f);
  return where_at_least(x0, lowest, p * pow2(t));
}

MARU_INLINE F32x16 sigmoid(const F32x16& x) {
  const F32x16 one = F32x16::all(1.0f);
  return one / (one + exp(F32x16::all(0.0f) - x));
}

// 2 sigmoid(2x) - 1: absolute error below 2e-7, which is what a soft cap needs.
MARU_INLINE F32x16 tanh(const F32x16& x) {
  return fma(F32x16::all(2.0f), sigmoid(x + x), F32x16::all(-1.0f));
}

// Calls f(i, n_lanes) for each vector of [0, n); only the last may have fewer than 16 lanes.
template <class F>
MARU_INLINE void for_vectors(size_t n, F f) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) f(i, size_t{16});
  if (i < n) f(i, n - i);
}

MARU_INLINE F32x16 load_n(const float* p, size_t n) {
  return n == 16 ? F32x16::load(p) : F32x16::load_first(p, n);
}

MARU_INLINE void store_n(const F32x16& x, float* p, size_t n) {
  if (n == 16) {
    x.store(p);
  } else {
    x.store_first(p, n);
  }
}

// Four running sums, vector i in sum i mod 4, added as (0 + 1) + (2 + 3).
template <class F>
MARU_INLINE float sum_of(size_t n, F value) {
  F32x16 s[4] = {F32x16::all(0.0f), F32x16::all(0.0f), F32x16::all(0.0f), F32x16::all(0.0f)};
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    for (size_t j = 0; j < 4; ++j) s[j] = value(i + 16 * j, size_t{16}, s[j]);
  }
  for (size_t j = 0; i < n; i += 16, ++j) {
    s[j] = value(i, n - i < 16 ? n - i : size_t{16}, s[j]);
  }
  return ((s[0] + s[1]) + (s[2] + s[3])).sum();
}

void rms_norm(const float* x, const float* w, float* y, size_t n, float eps) {
  const float squares = sum_of(n, [&](size_t i, size_t lanes, const F32x16& sum) {
    const F32x16 v = load_n(x + i, lanes);
    return fma(v, v, sum);
  });
  const F32x16 scale = F32x16::all(1.0f / std::sqrt(squares / static_cast<float>(n) + eps));
  for_vectors(n, [&](size_t i, size_t lanes) {
    store_n(load_n(x + i, lanes) * scale * load_n(w + i, lanes), y + i, lanes);
  });
}

void layer_norm(const float* x, const float* w, const float* b, float* y, size_t n, float eps) {
  const float sum =
      sum_of(n, [&](size_t i, size_t lanes, const F32x16& s) { return s + load_n(x + i, lanes); });
  const float mean = sum / static_cast<float>(n);
  const F32x16 minus_mean = F32x16::all(-mean);
  float squares = sum_of(n, [&](size_t i, size_t lanes, const F32x16& s) {
    const F32x16 v = load_n(x + i, lanes) + minus_mean;
    return fma(v, v, s);
  });
  if (n % 16 != 0) {  // the empty lanes of the last vector held 0 - mean
    squares -= static_cast<float>(16 - n % 16) * mean * mean;
  }
  const F32x16 scale = F32x16::all(1.0f / std::sqrt(squares / static_cast<float>(n) + eps));
  for_vectors(n, [&](size_t i, size_t lanes) {
    const F32x16 v = (load_n(x + i, lanes) + minus_mean) * scale;
    const F32x16 bias = b == nullptr ? F32x16::all(0.0f) : load_n(b + i, lanes);
    store_n(fma(v, load_n(w + i, lanes), bias), y + i, lanes);
  });
}

void add_scaled(const float* x, float scale, float* y, size_t n) {
  const F32x16 s = F32x16::all(scale);
  for_vectors(n, [&](size_t i, size_t lanes) {
    store_n(fma(load_n(x + i, lanes), s, load_n(y + i, lanes)), y + i, lanes);
  });
}

void silu_mul(const float* gate, const float* up, float* y, size_t n) {
  for_vectors(n, [&](size_t i, size_t lanes) {
    const F32x16 g = load_n(gate + i, lanes);
    store_n(g * sigmoid(g) * load_n(up + i, lanes), y + i, lanes);
  });
}

void sigmoid_mul(const float* gate, const float* x, float* y, size_t n) {
  for_vectors(n, [&](size_t i, size_t lanes) {
    store_n(sigmoid(load_n(gate + i, lanes)) * load_n(x + i, lanes), y + i, lanes);
  });
}

// gelu(x) = x/2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
// Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415), section 2.
void gelu_mul(const float* gate, const float* up, float* y, size_t n) {
  const F32x16 cubic = F32x16::all(0.044715f);
  const F32x16 twice = F32x16::all(1.5957691216057308f);  // 2 sqrt(2/pi)
  for_vectors(n, [&](size_t i, size_t lanes) {
    const F32x16 g = load_n(gate + i, lanes);
    const F32x16 u = twice * fma(cubic * g * g, g, g);
    store_n(g * sigmoid(u) * load_n(up + i, lanes), y + i, lanes);
  });
}

// gelu(x) = x/2 (1 + erf(x / sqrt(2))) = max(x, 0) - |x|/2 erfc(|x| / sqrt(2)); with z the
// argument, erfc(z) = t (a1 + t (a2 + ...)) e^(-z^2), t = 1 / (1 + p z), to 1.5e-7. Source:
// Abramowitz & Stegun 1964, 7.1.26.
void gelu_erf(const float* x, float* y, size_t n) {
  const F32x16 zero = F32x16::all(0.0f);
  const F32x16 one = F32x16::all(1.0f);
  for_vectors(n, [&](size_t i, size_t lanes) {
    const F32x16 v = load_n(x + i, lanes);
    const F32x16 size = max(v, zero - v);
    const F32x16 z = size * F32x16::all(0.70710678f);
    const F32x16 t = one / fma(F32x16::all(0.3275911f), z, one);
    F32x16 p = F32x16::all(1.061405429f);
    p = fma(p, t, F32x16::all(-1.453152027f));
    p = fma(p, t, F32x16::all(1.421413741f));
    p = fma(p, t, F32x16::all(-0.284496736f));
    p = fma(p, t, F32x16::all(0.254829592f));
    const F32x16 erfc = p * t * exp(zero - z * z);
    store_n(max(v, zero) - size * F32x16::all(0.5f) * erfc, y + i, lanes);
  });
}

void rope(float* x, size_t n_rot, const float* cos_sin, bool interleaved) {
  const size_t half = n_rot / 2;
  const float* cosine = cos_sin;
  const float* sine = cos_sin + half;
  // Neighbours, or halves: the same arithmetic on other places.
  const size_t step = interleaved ? 2 : 1;
  const size_t apart = interleaved ? 1 : half;
  for (size_t i = 0; i < half; ++i) {
    float* first = x + i * step;
    const float a = first[0];
    const float b = first[apart];
    first[0] = a * cosine[i] - b * sine[i];
    first[apart] = b * cosine[i] + a * sine[i];
  }
}

void to_f16(const float* x, uint16_t* y, size_t n) {
  const F32x16 largest = F32x16::all(65504.0f);
  const F32x16 smallest = F32x16::all(-65504.0f);
  for_vectors(n, [&](size_t i, size_t lanes) {
    const F32x16 v = min(max(load_n(x + i, lanes), smallest), largest);
    if (lanes == 16) return v.store_f16(y + i);
    uint16_t halves[16];
    v.store_f16(halves);
    for (size_t j = 0; j < lanes; ++j) y[i + j] = halves[j];
  });
}

// 2^x for x <= 0: 1 at 0, 0 below -125 and for NaN. x = n + f with |f| <= 1/2, both exact; then a
// polynomial of degree 6 in f, minimax with 2^0 = 1. Accuracy: 0.7 ulp (kernels_test measures it).
MARU_INLINE F32x16 exp2_weight(const F32x16& x) {
  const F32x16 t = x + F32x16::all(kRoundMagic);
  const F32x16 f = x - (t - F32x16::all(kRoundMagic));
  F32x16 p = F32x16::all(1.5353362e-4f);
  p = fma(p, f, F32x16::all(1.3398875e-3f));
  p = fma(p, f, F32x16::all(9.618437e-3f));
  p = fma(p, f, F32x16::all(5.5503324e-2f));
  p = fma(p, f, F32x16::all(2.4022648e-1f));
  p = fma(p, f, F32x16::all(6.931472e-1f));
  p = fma(p, f, F32x16::all(1.0f));
  return where_at_least(x, F32x16::all(-125.0f), times_pow2(p, t));
}

// Rows of queries that walk the blocks of a span together: a block of 64 x 128 keys (or values) is
// 16 KiB and stays in the L1 cache beside their scores.
constexpr size_t kSpanRows = 32;
constexpr size_t kSpanVecs = kSpanTokens / 16;

// scores[r][j] = dot(q[r], key j): one chain of fma over the dimensions in order. `ahead` is what
// will be read next, as long as this block, or null.
// Budget with AVX-512 and 6 rows, per dimension: 4 conversions, 6 broadcasts, 24 fma.
template <size_t kRows, size_t kVecs>
MARU_INLINE void key_scores(const float* q, size_t d_k, const uint16_t* keys, float* scores,
                            const uint16_t* ahead) {
  F32x16 sum[kRows][kVecs];
  for (auto& row : sum) {
    for (F32x16& s : row) s = F32x16::all(0.0f);
  }
  for (size_t d = 0; d < d_k; ++d) {
    if (ahead != nullptr) {
      __builtin_prefetch(ahead + d * kKvTokens);
      __builtin_prefetch(ahead + d * kKvTokens + kKvTokens / 2);
    }
    F32x16 k[kVecs];
    for (size_t j = 0; j < kVecs; ++j) k[j] = F32x16::load_f16(keys + d * kKvTokens + 16 * j);
    for (size_t r = 0; r < kRows; ++r) {
      const F32x16 value = F32x16::all(q[r * d_k + d]);
      for (size_t j = 0; j < kVecs; ++j) sum[r][j] = fma(value, k[j], sum[r][j]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t j = 0; j < kVecs; ++j) sum[r][j].store(scores + r * kSpanTokens + 16 * j);
  }
}

// The scores of keys [first, last) of a block, and of some beside them.
template <size_t kRows>
MARU_INLINE void block_scores(const float* q, size_t d_k, const uint16_t* k_block, size_t first,
                              size_t last, float* scores, const uint16_t* ahead) {
  constexpr size_t kTileKeys = 16 * kTileVecs;
  for (size_t key = first / kTileKeys * kTileKeys; key < last; key += kTileKeys) {
    key_scores<kRows, kTileVecs>(q, d_k, k_block + key, scores + key, ahead);
    ahead = nullptr;
  }
}

// One row's scores of the blocks [first, last) / 64 become weights in place: capped, masked by
// `keys`, less their maximum, exponentiated.
MARU_INLINE void span_weights(KeyRange keys, size_t first, size_t last, float softcap,
                              float* scores, float* max_out, float* sum_out) {
  constexpr float kMasked = -std::numeric_limits<float>::infinity();
  const size_t begin = first / kKvTokens * kKvTokens;
  const size_t end = (last + kKvTokens - 1) / kKvTokens * kKvTokens;
  if (softcap != 0.0f) {
    for (size_t j = keys.first / 16 * 16; j < keys.last; j += 16) {
      const F32x16 x = F32x16::load(scores + j) / F32x16::all(softcap);
      (tanh(x) * F32x16::all(softcap)).store(scores + j);
    }
  }
  for (size_t j = begin; j < end && j < keys.first; ++j) scores[j] = kMasked;
  for (size_t j = keys.last > begin ? keys.last : begin; j < end; ++j) scores[j] = kMasked;
  F32x16 best[4], sum[4];
  for (size_t j = 0; j < 4; ++j) {
    best[j] = F32x16::all(kMasked);
    sum[j] = F32x16::all(0.0f);
  }
  for (size_t key = begin; key < end; key += kKvTokens) {
    for (size_t j = 0; j < 4; ++j) best[j] = max(best[j], F32x16::load(scores + key + 16 * j));
  }
  const float top = max(max(best[0], best[1]), max(best[2], best[3])).largest();
  const F32x16 less = F32x16::all(top);
  for (size_t key = begin; key < end; key += kKvTokens) {
    for (size_t j = 0; j < 4; ++j) {
      // 0 where masked; all 0 where top is -inf (the difference is NaN).
      const F32x16 weight = exp2_weight(F32x16::load(scores + key + 16 * j) - less);
      weight.store(scores + key + 16 * j);
      sum[j] = sum[j] + weight;
    }
  }
  *max_out = top;
  *sum_out = ((sum[0] + sum[1]) + (sum[2] + sum[3])).sum();
}

// out[r] (from 0 where `fresh`) += weights[r][key] * value of the key, for n keys in order.
template <size_t kRows, size_t kVecs>
MARU_INLINE void weighted_values(const float* weights, size_t n, const uint16_t* values,
                                 size_t v_stride, bool fresh, float* out, const uint16_t* ahead) {
  F32x16 sum[kRows][kVecs];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t j = 0; j < kVecs; ++j) {
      sum[r][j] = fresh ? F32x16::all(0.0f) : F32x16::load(out + r * v_stride + 16 * j);
    }
  }
  for (size_t key = 0; key < n; ++key) {
    if (ahead != nullptr) {
      for (size_t j = 0; j < kVecs; j += 2) __builtin_prefetch(ahead + 16 * (key * kVecs + j));
    }
    F32x16 v[kVecs];
    for (size_t j = 0; j < kVecs; ++j) v[j] = F32x16::load_f16(values + key * v_stride + 16 * j);
    for (size_t r = 0; r < kRows; ++r) {
      const F32x16 weight = F32x16::all(weights[r * kSpanTokens + key]);
      for (size_t j = 0; j < kVecs; ++j) sum[r][j] = fma(weight, v[j], sum[r][j]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t j = 0; j < kVecs; ++j) sum[r][j].store(out + r * v_stride + 16 * j);
  }
}

template <size_t kRows>
MARU_INLINE void block_values(const float* weights, size_t n, const uint16_t* values,
                              size_t v_stride, bool fresh, float* out, const uint16_t* ahead) {
  size_t d = 0;
  for (; d + 16 * kTileVecs <= v_stride; d += 16 * kTileVecs) {
    weighted_values<kRows, kTileVecs>(weights, n, values + d, v_stride, fresh, out + d,
                                      ahead == nullptr ? nullptr : ahead + d * kKvTokens);
  }
  for (; d < v_stride; d += 16) {
    weighted_values<kRows, 1>(weights, n, values + d, v_stride, fresh, out + d, nullptr);
  }
}

// Up to kTileRows rows, and the keys of the span that any of them sees.
struct RowTile {
  size_t row;
  size_t n_rows;
  size_t first;
  size_t last;

  // Its keys in a block that begins at key `begin` of the span.
  size_t first_in(size_t begin) const { return first > begin ? first - begin : 0; }
  size_t last_in(size_t begin) const {
    if (last <= begin) return 0;
    return last - begin < kKvTokens ? last - begin : kKvTokens;
  }
};

// Tiles as equal as can be: 7 rows are 4 and 3, not 6 and 1. Returns how many.
MARU_INLINE size_t cut_rows(const KeyRange* keys, size_t n_q, RowTile* tiles) {
  const size_t n_tiles = (n_q + kTileRows - 1) / kTileRows;
  for (size_t i = 0, row = 0; i < n_tiles; ++i) {
    const size_t end = n_q * (i + 1) / n_tiles;
    tiles[i] = {row, end - row, kSpanTokens, 0};
    for (; row < end; ++row) {
      if (keys[row].first >= keys[row].last) continue;
      if (keys[row].first < tiles[i].first) tiles[i].first = keys[row].first;
      if (keys[row].last > tiles[i].last) tiles[i].last = keys[row].last;
    }
  }
  return n_tiles;
}

// Calls f(std::integral_constant<size_t, n>), n in [1, kRows]: tile sizes are known when compiled.
template <size_t kRows = kTileRows, class F>
MARU_INLINE void with_rows(size_t n, F f) {
  if constexpr (kRows > 1) {
    if (n < kRows) return with_rows<kRows - 1>(n, f);
  }
  f(std::integral_constant<size_t, kRows>{});
}

// At most kSpanRows rows. Each block is read by all tiles before the next; the first of them asks
// for what follows.
MARU_INLINE void span_rows(const float* q, const KeyRange* keys, size_t n_q, const KvShape& shape,
                           const KvSpan& span, float softcap, float* out, float* max, float* sum) {
  alignas(64) float scores[kSpanRows * kSpanTokens];
  RowTile tiles[kSpanRows];
  const size_t n_tiles = cut_rows(keys, n_q, tiles);
  const size_t v_stride = shape.v_stride();
  size_t first = kSpanTokens;
  size_t last = 0;
  for (size_t i = 0; i < n_tiles; ++i) {
    first = tiles[i].first < first ? tiles[i].first : first;
    last = tiles[i].last > last ? tiles[i].last : last;
  }
  const size_t block_begin = first / kKvTokens;
  const size_t block_end = (last + kKvTokens - 1) / kKvTokens;
  for (size_t b = block_begin; b < block_end; ++b) {
    const uint16_t* ahead = b + 1 < block_end ? span.k[b + 1] : span.v[block_begin];
    for (size_t i = 0; i < n_tiles; ++i) {
      const RowTile& tile = tiles[i];
      with_rows(tile.n_rows, [&](auto rows) {
        block_scores<rows()>(q + tile.row * shape.d_k, shape.d_k, span.k[b],
                             tile.first_in(b * kKvTokens), tile.last_in(b * kKvTokens),
                             scores + tile.row * kSpanTokens + b * kKvTokens, ahead);
      });
      ahead = nullptr;
    }
  }
  for (size_t i = 0; i < n_tiles; ++i) {
    const RowTile& tile = tiles[i];
    for (size_t r = tile.row; r < tile.row + tile.n_rows; ++r) {
      span_weights(keys[r], tile.first, tile.last, softcap, scores + r * kSpanTokens, max + r,
                   sum + r);
    }
    if (tile.first < tile.last) continue;
    for (size_t d = 0; d < tile.n_rows * v_stride; ++d) out[tile.row * v_stride + d] = 0.0f;
  }
  for (size_t b = block_begin; b < block_end; ++b) {
    const uint16_t* ahead = b + 1 < block_end ? span.v[b + 1] : span.next;
    for (size_t i = 0; i < n_tiles; ++i) {
      const RowTile& tile = tiles[i];
      const size_t begin = tile.first_in(b * kKvTokens);
      const size_t end = tile.last_in(b * kKvTokens);
      if (begin >= end) continue;
      with_rows(tile.n_rows, [&](auto rows) {
        block_values<rows()>(scores + tile.row * kSpanTokens + b * kKvTokens + begin, end - begin,
                             span.v[b] + begin * v_stride, v_stride, b == tile.first / kKvTokens,
                             out + tile.row * v_stride, ahead);
      });
      ahead = nullptr;
    }
  }
}

void attention_span(const float* q, const KeyRange* keys, size_t n_q, const KvShape& shape,
                    const KvSpan& span, float softcap, float* out, float* max, float* sum) {
  for (size_t row = 0; row < n_q; row += kSpanRows) {
    const size_t n = n_q - row < kSpanRows ? n_q - row : kSpanRows;
    span_rows(q + row * shape.d_k, keys + row, n, shape, span, softcap,
              out + row * shape.v_stride(), max + row, sum + row);
  }
}

void attention_merge(const float* part_out, const float* part_max, const float* part_sum,
                     size_t n_q, size_t v_stride, float* out, float* max, float* sum) {
  for (size_t r = 0; r < n_q; ++r) {
    const float best = max[r] > part_max[r] ? max[r] : part_max[r];
    const F32x16 old_scale = exp2_weight(F32x16::all(max[r] - best));
    const F32x16 new_scale = exp2_weight(F32x16::all(part_max[r] - best));
    float scales[2][16];
    old_scale.store(scales[0]);
    new_scale.store(scales[1]);
    sum[r] = sum[r] * scales[0][0] + part_sum[r] * scales[1][0];
    max[r] = best;
    for (size_t d = 0; d < v_stride; d += 16) {
      const F32x16 part = F32x16::load(part_out + r * v_stride + d) * new_scale;
      fma(F32x16::load(out + r * v_stride + d), old_scale, part).store(out + r * v_stride + d);
    }
  }
}

// 16 kVecs columns, or `lanes` of them where kVecs is 1. With the delta rule the state is read
// twice and decayed both times, which is the same arithmetic as keeping the decayed value.
template <size_t kVecs>
MARU_INLINE void recur_columns(const RecurrenceStep& step, const float* v, float* state,
                               size_t stride, size_t lanes, float* y) {
  const F32x16 decay = F32x16::all(step.decay);
  F32x16 held[kVecs], u[kVecs], sum[kVecs];
  for (size_t j = 0; j < kVecs; ++j) held[j] = sum[j] = F32x16::all(0.0f);
  for (size_t d = 0; step.delta && d < step.d_k; ++d) {
    const F32x16 k = F32x16::all(step.k[d]);
    for (size_t j = 0; j < kVecs; ++j) {
      held[j] = fma(k, load_n(state + d * stride + 16 * j, lanes) * decay, held[j]);
    }
  }
  for (size_t j = 0; j < kVecs; ++j) {
    u[j] = (load_n(v + 16 * j, lanes) - held[j]) * F32x16::all(step.beta);
  }
  for (size_t d = 0; d < step.d_k; ++d) {
    const F32x16 k = F32x16::all(step.k[d]);
    const F32x16 q = F32x16::all(step.q[d]);
    for (size_t j = 0; j < kVecs; ++j) {
      float* at = state + d * stride + 16 * j;
      const F32x16 s = fma(k, u[j], load_n(at, lanes) * decay);
      store_n(s, at, lanes);
      sum[j] = fma(q, s, sum[j]);
    }
  }
  for (size_t j = 0; j < kVecs; ++j) store_n(sum[j], y + 16 * j, lanes);
}

void recur(const RecurrenceStep& step, const float* v, float* state, size_t stride, size_t n,
           float* y) {
  size_t i = 0;
  for (; i + 64 <= n; i += 64) recur_columns<4>(step, v + i, state + i, stride, 16, y + i);
  for_vectors(n - i, [&](size_t j, size_t lanes) {
    recur_columns<1>(step, v + i + j, state + i + j, stride, lanes, y + i + j);
  });
}

#include "kernels/logits.inl.h"

constexpr OpsTable kTable = {rms_norm,  layer_norm,     add_scaled,      silu_mul,
                             gelu_mul,  gelu_erf,       sigmoid_mul,     rope,
                             to_f16,    attention_span, attention_merge, recur,
                             block_max, upper_bounds,   softmax_weights, softmax_sums};
