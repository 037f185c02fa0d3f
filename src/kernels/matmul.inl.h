// kernels/matmul.inl.h - the body of quantize_row and matmul, written once over a vocabulary that
// each matmul_<isa>.cc supplies before it includes this inside its own namespace and target region.
// No include guard, no includes: both belong to the including file.
//
// Vocabulary: kLanes rows at once (16, or 8 and two passes), kTileColumns columns at once;
//   Bytes  one line, or the part of it that belongs to kLanes rows: load_bytes, shift<n> (right;
//          left where negative; bits of neighbours come in and must be masked), bits (and with a
//          byte), either (or), lookup (of 16 values)
//   Ints   one int32 per row: set_int (from memory), shift_down<n>, dot (adds the four products of
//          a row's bytes, unsigned up to 63, with four int8), wide_start and wide_dot (the same
//          for codes up to 255 that mean the code minus 128)
//   Floats one float32 per row: zero, set_float (from memory), to_floats, mul, fma, add, load_f16,
//          load_u8, load_i8, load_e8m0_half, load_floats, store_floats, bf16_even, bf16_odd
//
// A tile is one group of 16 rows by up to kTileColumns columns; its sums stay in registers. Per run
// of 32 values each line of codes is unpacked once and used for all columns.

// Calls f(0) to f(n - 1) with the index as a constant.
template <size_t... i, class Function>
MARU_INLINE void unroll_indexes(std::index_sequence<i...>, const Function& f) {
  (f(std::integral_constant<int, static_cast<int>(i)>{}), ...);
}
template <size_t n, class Function>
MARU_INLINE void unroll(const Function& f) {
  unroll_indexes(std::make_index_sequence<n>{}, f);
}

// What the codes of a codebook type mean, plus the offset of its Format.
constexpr auto offset_codes(const std::array<int8_t, 16>& values, int offset) {
  std::array<uint8_t, 16> codes{};
  for (size_t i = 0; i < 16; ++i) codes[i] = static_cast<uint8_t>(values[i] + offset);
  return codes;
}
constexpr std::array kIq4Codes = offset_codes(tensor::kIq4Values, 128);
constexpr std::array kE2m1Codes = offset_codes(tensor::kE2m1Doubled, 16);

// How the products of a run become one float: docs/formats/numerics.md, "One run".
enum class RunSum { kOneScale, kScaleAndMin, kTwoScales, kTwoScalesAndMins };

// Which table of 16 values the codes mean, if any.
enum class Codebook { kNone, kIq4, kE2m1 };

// What the body needs to know of a format. offset: weight = code - offset.
template <tensor::DType kDType>
struct Format {
  static constexpr const PackedLayout& kLayout = *packed_layout(kDType);
  static constexpr bool is(std::initializer_list<tensor::DType> types) {
    for (tensor::DType type : types) {
      if (type == kDType) return true;
    }
    return false;
  }
  using T = tensor::DType;
  static constexpr RunSum kSum = is({T::kQ2_K})             ? RunSum::kTwoScalesAndMins
                                 : is({T::kQ3_K, T::kQ6_K}) ? RunSum::kTwoScales
                                 : is({T::kQ4_1, T::kQ5_1, T::kQ4_K, T::kQ5_K})
                                     ? RunSum::kScaleAndMin
                                     : RunSum::kOneScale;
  static constexpr Codebook kCodebook = is({T::kIQ4_NL, T::kIQ4_XS}) ? Codebook::kIq4
                                        : is({T::kMXFP4})            ? Codebook::kE2m1
                                                                     : Codebook::kNone;
  static constexpr int kOffset = is({T::kQ4_0})                           ? 8
                                 : is({T::kQ5_0, T::kMXFP4})              ? 16
                                 : is({T::kQ8_0, T::kIQ4_NL, T::kIQ4_XS}) ? 128
                                 : is({T::kQ6_K})                         ? 32
                                 : is({T::kQ3_K})                         ? 4
                                                                          : 0;
  static constexpr bool kWide = kOffset == 128;
  static constexpr bool kHalves = kSum == RunSum::kTwoScales || kSum == RunSum::kTwoScalesAndMins;
};

// The n_bits field of codes 4 l to 4 l + 3, moved to bit kTo.
template <int kBits, int kTo, int l>
MARU_INLINE Bytes field(const uint8_t* lines) {
  constexpr int kPerLine = 8 / kBits;
  constexpr int kLine = kBits == 4 ? l % 4 : l / kPerLine;
  constexpr int kPlace = kBits * (kBits == 4 ? l / 4 : l % kPerLine);
  return bits(shift<kPlace - kTo>(load_bytes(lines + kLine * kLineBytes)),
              static_cast<uint8_t>(((1 << kBits) - 1) << kTo));
}

template <class F, int l>
MARU_INLINE Bytes weights_line(const uint8_t* low, const uint8_t* high) {
  constexpr int kLow = F::kLayout.low_bits, kHigh = F::kLayout.high_bits;
  if constexpr (kLow == 8) return load_bytes(low + l * kLineBytes);
  Bytes codes = field<kLow, 0, l>(low);
  if constexpr (kHigh > 0) codes = either(codes, field<kHigh, kLow, l>(high));
  if constexpr (F::kCodebook == Codebook::kIq4) return lookup(kIq4Codes.data(), codes);
  if constexpr (F::kCodebook == Codebook::kE2m1) return lookup(kE2m1Codes.data(), codes);
  return codes;
}

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

// Scales and minimums of one run for kLanes rows: value = code * scale + min.
struct RunScales {
  Floats scale[2];
  Floats min[2];
};

template <class F>
MARU_INLINE RunScales run_scales(const uint8_t* scales, const uint8_t* deltas, size_t sub) {
  using T = tensor::DType;
  RunScales s;
  if constexpr (F::is({T::kMXFP4})) {
    s.scale[0] = load_e8m0_half(deltas);
    return s;
  }
  const Floats d = load_f16(deltas);
  if constexpr (F::is({T::kQ4_1, T::kQ5_1})) {
    s.scale[0] = d;
    s.min[0] = load_f16(deltas + 32);
  } else if constexpr (F::is({T::kQ4_K, T::kQ5_K})) {
    s.scale[0] = mul(d, load_u8(scales + 16 * sub));
    s.min[0] = negate(mul(load_f16(deltas + 32), load_u8(scales + 16 * (8 + sub))));
  } else if constexpr (F::is({T::kQ2_K})) {
    const Floats dmin = load_f16(deltas + 32);
    for (size_t h = 0; h < 2; ++h) {
      s.scale[h] = mul(d, load_low_nibbles(scales + 16 * (2 * sub + h)));
      s.min[h] = negate(mul(dmin, load_high_nibbles(scales + 16 * (2 * sub + h))));
    }
  } else if constexpr (F::is({T::kQ3_K, T::kQ6_K})) {
    for (size_t h = 0; h < 2; ++h) s.scale[h] = mul(d, load_i8(scales + 16 * (2 * sub + h)));
  } else if constexpr (F::is({T::kIQ4_XS})) {
    s.scale[0] = mul(d, load_i8(scales + 16 * sub));
  } else {
    s.scale[0] = d;
  }
  return s;
}

// The run's value in units of the activation's scale.
template <class F>
MARU_INLINE Floats run_sum(const Ints* dots, const RunScales& s, const ActivationBlock& x) {
  Floats u = mul(to_floats(dots[0]), s.scale[0]);
  if constexpr (F::kSum == RunSum::kScaleAndMin) u = fma(set_float(&x.sum), s.min[0], u);
  if constexpr (F::kHalves) u = fma(to_floats(dots[1]), s.scale[1], u);
  if constexpr (F::kSum == RunSum::kTwoScalesAndMins) {
    for (int h = 0; h < 2; ++h) {
      const Ints sum = negate(shift_down<5>(set_int(&x.minus_32_half_sums[h])));
      u = fma(to_floats(sum), s.min[h], u);
    }
  }
  return u;
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
    case T::kQ4_0:
      return run(int8_matmul<Format<T::kQ4_0>>);
    case T::kQ4_1:
      return run(int8_matmul<Format<T::kQ4_1>>);
    case T::kQ5_0:
      return run(int8_matmul<Format<T::kQ5_0>>);
    case T::kQ5_1:
      return run(int8_matmul<Format<T::kQ5_1>>);
    case T::kQ8_0:
      return run(int8_matmul<Format<T::kQ8_0>>);
    case T::kQ2_K:
      return run(int8_matmul<Format<T::kQ2_K>>);
    case T::kQ3_K:
      return run(int8_matmul<Format<T::kQ3_K>>);
    case T::kQ4_K:
      return run(int8_matmul<Format<T::kQ4_K>>);
    case T::kQ5_K:
      return run(int8_matmul<Format<T::kQ5_K>>);
    case T::kQ6_K:
      return run(int8_matmul<Format<T::kQ6_K>>);
    case T::kIQ4_NL:
      return run(int8_matmul<Format<T::kIQ4_NL>>);
    case T::kIQ4_XS:
      return run(int8_matmul<Format<T::kIQ4_XS>>);
    case T::kMXFP4:
      return run(int8_matmul<Format<T::kMXFP4>>);
    default:
      CHECK(false);
  }
}
