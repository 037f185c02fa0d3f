// kernels/float_tiles.inl.h - products with F32 and F16 matrices: part of kernels/matmul.inl.h,
// which says what it needs.
//
// Column k of a row goes to sum k mod 4, each a chain of fma. A tile is kFloatTileGroups groups of
// 16 rows by up to kFloatTileColumns columns, or one group by up to kFloatGroupColumns: its chains
// hide the latency of fma, and a value that is broadcast to several groups leaves the load units to
// the weights.

// Column 4 b + k of kLanes rows.
template <tensor::DType kDType, int k>
MARU_INLINE Floats float_weights(const uint8_t* group, size_t b, size_t lane) {
  if constexpr (kDType == tensor::DType::kF32) {
    return load_floats(reinterpret_cast<const float*>(group + 256 * b + 64 * k) + lane);
  } else {
    return load_f16(group + 128 * b + 32 * k + 2 * lane);
  }
}

// The arguments of matmul.
struct FloatCall {
  const PackedMatrix& w;
  const std::byte* acts;
  size_t act_stride;
  float* y;
  size_t y_stride;
};

// kGroups groups, the first at `base`, by kColumns tokens from t on, for kLanes rows of each group
// from `lane` on.
template <tensor::DType kDType, int kColumns, int kGroups>
MARU_NOINLINE void float_tile(const FloatCall& call, const uint8_t* base, size_t lane, size_t t,
                              const Ahead& asked, float (*out)[kGroups * kGroupRows]) {
  constexpr size_t kBlockBytes = kGroupRows * 4 * packed_layout(kDType)->low_bits / 8;
  const size_t group_bytes = call.w.group_bytes, n_blocks = float_blocks(call.w.n_cols);
  const float* x[kColumns];
  Floats sums[kColumns][kGroups][4];
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    const size_t token = t + static_cast<size_t>(c);
    x[c] = reinterpret_cast<const float*>(call.acts + token * call.act_stride);
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
      MARU_UNROLL for (int k = 0; k < 4; ++k) sums[c][g][k] = zero();
    }
  }
  Asking<kGroups, kBlockBytes> asking(asked, base, group_bytes);
  for (size_t b = 0; b < n_blocks; ++b) {
    asking.step(base + b * kBlockBytes);
    unroll<4>([&](auto column) MARU_INLINE_LAMBDA {
      constexpr int k = decltype(column)::value;
      Floats weights[kGroups];
      MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
        const uint8_t* group = base + static_cast<size_t>(g) * group_bytes;
        weights[g] = float_weights<kDType, k>(group, b, lane);
      }
      MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
        const float* p = x[c] + 4 * b + k;
        const Floats value = kGroups > 1 ? held(set_float(p)) : set_float(p);
        MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
          sums[c][g][k] = fma(weights[g], value, sums[c][g][k]);
        }
      }
    });
  }
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
      const Floats(&s)[4] = sums[c][g];
      store_floats(out[c] + static_cast<size_t>(g) * kGroupRows + lane,
                   add(add(s[0], s[1]), add(s[2], s[3])));
    }
  }
}

// kGroups groups by n tokens, 1 to kColumns, from t on.
template <tensor::DType kDType, int kColumns, int kGroups>
void any_float_tile(size_t n, const FloatCall& call, size_t group, size_t t, const Ahead& asked) {
  if constexpr (kColumns > 1) {
    if (n < kColumns) {
      return any_float_tile<kDType, kColumns - 1, kGroups>(n, call, group, t, asked);
    }
  }
  constexpr size_t kRows = kGroups * kGroupRows;
  alignas(64) float out[kColumns][kRows];
  const PackedMatrix& w = call.w;
  const auto* base = reinterpret_cast<const uint8_t*>(w.data) + group * w.group_bytes;
  for (size_t lane = 0; lane < kGroupRows; lane += kLanes) {
    float_tile<kDType, kColumns, kGroups>(call, base, lane, t, lane == 0 ? asked : Ahead{}, out);
  }
  const size_t row = group * kGroupRows, n_rows = w.n_rows - row < kRows ? w.n_rows - row : kRows;
  for (size_t c = 0; c < kColumns; ++c) {
    write_rows(out[c], n_rows, false, call.y + (t + c) * call.y_stride + row);
  }
}

template <tensor::DType kDType>
void float_matmul(const PackedMatrix& w, size_t group_begin, size_t group_end,
                  const std::byte* acts, size_t act_stride, size_t n_tokens, float* y,
                  size_t y_stride) {
  // One column is bound by memory, which reads one stream best; so are a few with F32, where one
  // pass for four columns is worth more than two for pairs.
  constexpr size_t kTogetherMin = kDType == tensor::DType::kF32 ? 5 : 2;
  const FloatCall call{w, acts, act_stride, y, y_stride};
  for (size_t group = group_begin; group < group_end;) {
    const bool whole = n_tokens >= kTogetherMin && group_end - group >= kFloatTileGroups;
    const size_t n_groups = whole ? kFloatTileGroups : 1;
    const size_t n_most = whole ? kFloatTileColumns : kFloatGroupColumns;
    const size_t n_tiles = (n_tokens + n_most - 1) / n_most;
    const auto* base = reinterpret_cast<const uint8_t*>(w.data) + group * w.group_bytes;
    for (size_t i = 0; i < n_tiles; ++i) {  // of nearly equal widths
      const size_t t = n_tokens * i / n_tiles, n = n_tokens * (i + 1) / n_tiles - t;
      const Ahead asked = ahead_of(i, n_tiles, base, n_groups * w.group_bytes / kLineBytes,
                                   float_blocks(w.n_cols), group == group_begin);
      if (whole) {
        any_float_tile<kDType, kFloatTileColumns, kFloatTileGroups>(n, call, group, t, asked);
      } else {
        any_float_tile<kDType, kFloatGroupColumns, 1>(n, call, group, t, asked);
      }
    }
    group += n_groups;
  }
}
