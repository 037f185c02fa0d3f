// kernels/matmul.inl.h - the body of quantize_row and matmul, written once over a vocabulary that
// each matmul_<isa>.cc supplies before it includes this inside its own namespace and target region.
// No include guard, no includes: both belong to the including file.
//
// Included after the vocabulary, kernels/formats.inl.h, kTileColumns (columns at once) and
// kFloatTileColumns (the same for float matrices).
//
// A tile is one group of 16 rows by up to kTileColumns columns; its sums stay in registers. Per run
// of 32 values each line of codes is unpacked once and used for all columns.

// Minus offset times the sum of the activations: of the run, or of half h of it.
template <class F>
MARU_INLINE Ints first_ints(const ActivationBlock& x, int h) {
  if constexpr (F::kOffset == 8) return set_int(&x.minus_8_sum);
  if constexpr (F::kOffset == 16) return set_int(&x.minus_16_sum);
  if constexpr (F::kOffset == 128) return wide_start(&x.minus_128_sum);
  if constexpr (F::kOffset == 32) return set_int(&x.minus_32_half_sums[h]);
  if constexpr (F::kOffset == 4) return shift_down<3>(set_int(&x.minus_32_half_sums[h]));
  return Ints{};
}

// One group by kColumns columns for kLanes rows from `lane` on; out is [kColumns][16].
template <class F, int kColumns>
MARU_NOINLINE void int8_tile(const uint8_t* group, const PackedRegions& at, size_t lane,
                             const Column* columns, float (*out)[kGroupRows]) {
  constexpr const PackedLayout& kLayout = F::kLayout;
  constexpr size_t kRuns = kLayout.block / kRun;
  const uint8_t* low = group + 4 * lane;
  const uint8_t* high = group + at.high + 4 * lane;
  const uint8_t* scales = group + at.scales + lane;
  const uint8_t* deltas = group + at.deltas + lane * (F::is({tensor::DType::kMXFP4}) ? 1 : 2);
  const ActivationBlock* x[kColumns];
  Floats sums[kColumns];
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    x[c] = columns[c].blocks;
    sums[c] = zero();
  }
  size_t run = 0;
  for (size_t block = 0; block < at.n_blocks; ++block) {
    for (size_t sub = 0; sub < kRuns; ++sub, ++run) {
      Ints dots[kColumns][2];
      MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
        dots[c][0] = first_ints<F>(x[c][run], 0);
        if constexpr (F::kHalves) dots[c][1] = first_ints<F>(x[c][run], 1);
      }
      unroll<8>([&](auto line) MARU_INLINE_LAMBDA {
        constexpr int l = decltype(line)::value;
        constexpr int h = F::kHalves ? l / 4 : 0;
        const Bytes w = weights_line<F, l>(low, high);
        MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
          const int8_t* q = x[c][run].q + 4 * l;
          dots[c][h] = F::kWide ? wide_dot(dots[c][h], w, q) : dot(dots[c][h], w, q);
        }
      });
      const RunScales s = run_scales<F>(scales, deltas, sub);
      MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
        sums[c] = fma(run_sum<F>(dots[c], s, x[c][run]), set_float(&x[c][run].scale), sums[c]);
      }
      low += kLayout.low_bits * kLineBytes;
      high += kLayout.high_bits * kLineBytes;
    }
    scales += kLayout.scales;
    deltas += kLayout.deltas;
  }
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) store_floats(out[c] + lane, sums[c]);
}

template <class F>
void int8_tile(int n_columns, const uint8_t* group, const PackedRegions& at, size_t lane,
               const Column* columns, float (*out)[kGroupRows]) {
  switch (n_columns) {
    case 1:
      return int8_tile<F, 1>(group, at, lane, columns, out);
    case 2:
      return int8_tile<F, 2>(group, at, lane, columns, out);
    case 3:
      return int8_tile<F, 3>(group, at, lane, columns, out);
    case 4:
      return int8_tile<F, 4>(group, at, lane, columns, out);
  }
  if constexpr (kTileColumns > 4) {
    switch (n_columns) {
      case 5:
        return int8_tile<F, 5>(group, at, lane, columns, out);
      case 6:
        return int8_tile<F, 6>(group, at, lane, columns, out);
      case 7:
        return int8_tile<F, 7>(group, at, lane, columns, out);
      case 8:
        return int8_tile<F, 8>(group, at, lane, columns, out);
    }
  }
}

// Rows of one group to where they belong.
MARU_INLINE void write_rows(const float* from, size_t n_rows, bool add, float* to) {
  for (size_t r = 0; r < n_rows; ++r) to[r] = add ? to[r] + from[r] : from[r];
}

template <class F>
void int8_matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
                 size_t act_stride, size_t n_tokens, float* y, size_t y_stride) {
  const PackedRegions at = packed_regions(F::kLayout, w.n_cols);
  for (size_t group = group_begin; group < group_end; ++group) {
    const auto* base = reinterpret_cast<const uint8_t*>(w.data) + group * at.n_bytes;
    const size_t first_row = group * kGroupRows;
    const size_t n_rows = w.n_rows - first_row < kGroupRows ? w.n_rows - first_row : kGroupRows;
    ColumnWalk walk(acts, act_stride, n_tokens, w.n_cols, y + first_row, y_stride);
    Column columns[kTileColumns];
    while (const size_t n = walk.next(columns, kTileColumns)) {
      alignas(64) float out[kTileColumns][kGroupRows];
      for (size_t lane = 0; lane < kGroupRows; lane += kLanes) {
        int8_tile<F>(static_cast<int>(n), base, at, lane, columns, out);
      }
      for (size_t c = 0; c < n; ++c) write_rows(out[c], n_rows, columns[c].add, columns[c].y);
    }
  }
}

// Columns 4 b to 4 b + 3 of kLanes rows.
template <tensor::DType kDType>
MARU_INLINE void float_weights(const uint8_t* group, size_t b, size_t lane, Floats* w) {
  if constexpr (kDType == tensor::DType::kF32) {
    MARU_UNROLL for (int k = 0; k < 4; ++k) {
      w[k] = load_floats(reinterpret_cast<const float*>(group + 256 * b + 64 * k) + lane);
    }
  } else if constexpr (kDType == tensor::DType::kF16) {
    MARU_UNROLL for (int k = 0; k < 4; ++k) w[k] = load_f16(group + 128 * b + 32 * k + 2 * lane);
  } else {
    MARU_UNROLL for (int k = 0; k < 4; k += 2) {
      const Bytes pairs = load_bytes(group + 128 * b + 32 * k + 4 * lane);
      w[k] = bf16_even(pairs);
      w[k + 1] = bf16_odd(pairs);
    }
  }
}

// One group by up to kColumns tokens. Column k goes to sum k mod 4.
template <tensor::DType kDType, int kColumns>
MARU_NOINLINE void float_tile(const uint8_t* group, size_t n_blocks, size_t lane,
                              const std::byte* acts, size_t act_stride, float (*out)[kGroupRows]) {
  const float* x[kColumns];
  Floats sums[kColumns][4];
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    x[c] = reinterpret_cast<const float*>(acts + static_cast<size_t>(c) * act_stride);
    MARU_UNROLL for (int k = 0; k < 4; ++k) sums[c][k] = zero();
  }
  for (size_t b = 0; b < n_blocks; ++b) {
    Floats w[4];
    float_weights<kDType>(group, b, lane, w);
    MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
      MARU_UNROLL for (int k = 0; k < 4; ++k) {
        sums[c][k] = fma(w[k], set_float(x[c] + 4 * b + k), sums[c][k]);
      }
    }
  }
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    store_floats(out[c] + lane, add(add(sums[c][0], sums[c][1]), add(sums[c][2], sums[c][3])));
  }
}

template <tensor::DType kDType>
void float_matmul(const PackedMatrix& w, size_t group_begin, size_t group_end,
                  const std::byte* acts, size_t act_stride, size_t n_tokens, float* y,
                  size_t y_stride) {
  const PackedRegions at = packed_regions(*packed_layout(kDType), w.n_cols);
  for (size_t group = group_begin; group < group_end; ++group) {
    const auto* base = reinterpret_cast<const uint8_t*>(w.data) + group * at.n_bytes;
    const size_t first_row = group * kGroupRows;
    const size_t n_rows = w.n_rows - first_row < kGroupRows ? w.n_rows - first_row : kGroupRows;
    for (size_t t = 0; t < n_tokens;) {
      alignas(64) float out[kFloatTileColumns][kGroupRows];
      const size_t n = n_tokens - t < kFloatTileColumns ? 1 : kFloatTileColumns;
      for (size_t lane = 0; lane < kGroupRows; lane += kLanes) {
        const std::byte* x = acts + t * act_stride;
        if (n == 1) {
          float_tile<kDType, 1>(base, at.n_blocks, lane, x, act_stride, out);
        } else {
          float_tile<kDType, kFloatTileColumns>(base, at.n_blocks, lane, x, act_stride, out);
        }
      }
      for (size_t c = 0; c < n; ++c, ++t) {
        write_rows(out[c], n_rows, false, y + t * y_stride + first_row);
      }
    }
  }
}

void matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
            size_t act_stride, size_t n_tokens, float* y, size_t y_stride) {
  using T = tensor::DType;
  const auto run = [&](auto function) {
    function(w, group_begin, group_end, acts, act_stride, n_tokens, y, y_stride);
  };
  switch (w.dtype) {
    case T::kF32:
      return run(float_matmul<T::kF32>);
    case T::kF16:
      return run(float_matmul<T::kF16>);
    case T::kBF16:
      return run(float_matmul<T::kBF16>);
    default:
      with_format(w.dtype, [&](auto format) { run(int8_matmul<decltype(format)>); });
  }
}
