// kernels/formats.inl.h - how each format's lines become integer weights, and its scales floats:
// written once over a vocabulary that each matmul_<isa>.cc supplies before it includes this inside
// its own namespace and target region. No include guard, no includes: both belong to the including
// file.
//
// Vocabulary: kLanes, the rows at once (16, or 8 and two passes);
//   Bytes  one line, or the part of it that belongs to kLanes rows: load_bytes, shift<n> (right;
//          left where negative; bits of neighbours come in and must be masked), bits (and with a
//          byte), either (or), lookup (of 16 values)
//          four (the same four int8 for each row, from memory), held (keeps them in a register)
//   Ints   one int32 per row: set_int (from memory), shift_down<n>, dot (adds the four products of
//          a row's bytes, unsigned up to 63, with four int8), wide_start and wide_dot (the same
//          for codes up to 255 that mean the code minus 128)
//   Floats one float32 per row: zero, set_float (from memory), to_floats, mul, fma, add, load_f16,
//          load_u8, load_i8, load_e8m0_half, load_floats, store_floats, bf16_even, bf16_odd

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
  static constexpr bool kMins = kSum == RunSum::kScaleAndMin || kSum == RunSum::kTwoScalesAndMins;
  static constexpr bool kHalves = kSum == RunSum::kTwoScales || kSum == RunSum::kTwoScalesAndMins;
};

// The high plane of Q8_0: what the whole codes would be with the middle of their low bits.
struct HighPlane : Format<tensor::DType::kQ8_0> {
  static constexpr const PackedLayout& kLayout = kHighPlaneLayout;
  static constexpr RunSum kSum = RunSum::kScaleAndMin;
  static constexpr bool kMins = true;
};

// Q8_0 from both planes.
struct BothPlanes : Format<tensor::DType::kQ8_0> {
  static constexpr const PackedLayout& kLayout = kHighPlaneLayout;
};
template <class F>
constexpr bool kFromPlanes = std::is_same_v<F, BothPlanes>;

// The n_bits field of codes 4 l to 4 l + 3, moved to bit kTo.
template <int kBits, int kTo, int l>
MARU_INLINE Bytes field(const uint8_t* lines) {
  constexpr int kPerLine = 8 / kBits;
  constexpr int kLine = kBits == 4 ? l % 4 : l / kPerLine;
  constexpr int kPlace = kBits * (kBits == 4 ? l / 4 : l % kPerLine);
  return bits(shift<kPlace - kTo>(load_bytes(lines + kLine * kLineBytes)),
              static_cast<uint8_t>(((1 << kBits) - 1) << kTo));
}

// The bits `mask` of line i, moved to the right by n (to the left where it is negative).
template <int i, int n>
MARU_INLINE Bytes moved(const uint8_t* lines, uint8_t mask) {
  return bits(shift<n>(load_bytes(lines + i * kLineBytes)), mask);
}

// The upper five bits of code line l, and the lower three: kernels/planes.h.
template <int l>
MARU_INLINE Bytes upper_line(const uint8_t* lines) {
  if constexpr (l < 5) return moved<l, 0>(lines, 0xF8);
  if constexpr (l == 5) return either(moved<0, -5>(lines, 0xE0), moved<1, -3>(lines, 0x18));
  if constexpr (l == 6) return either(moved<2, -5>(lines, 0xE0), moved<3, -3>(lines, 0x18));
  return either(moved<4, -5>(lines, 0xE0),
                either(moved<1, -2>(lines, 0x10), moved<3, -1>(lines, 0x08)));
}
template <int l>
MARU_INLINE Bytes lower_line(const uint8_t* lines) {
  if constexpr (l < 6) return moved<l / 2, 3 * (l % 2)>(lines, 7);
  return either(moved<l - 6, 6>(lines, 3), moved<2, l - 2>(lines, 4));
}

// low_plane: of BothPlanes.
template <class F, int l>
MARU_INLINE Bytes weights_line(const uint8_t* low, const uint8_t* high,
                               const uint8_t* low_plane = nullptr) {
  if constexpr (std::is_same_v<F, HighPlane>) return upper_line<l>(low);
  if constexpr (kFromPlanes<F>) return either(upper_line<l>(low), lower_line<l>(low_plane));
  constexpr int kLow = F::kLayout.low_bits, kHigh = F::kLayout.high_bits;
  if constexpr (kLow == 8) return load_bytes(low + l * kLineBytes);
  Bytes codes = field<kLow, 0, l>(low);
  if constexpr (kHigh > 0) codes = either(codes, field<kHigh, kLow, l>(high));
  if constexpr (F::kCodebook == Codebook::kIq4) return lookup(kIq4Codes.data(), codes);
  if constexpr (F::kCodebook == Codebook::kE2m1) return lookup(kE2m1Codes.data(), codes);
  return codes;
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
  if constexpr (std::is_same_v<F, HighPlane>) {
    s.scale[0] = d;
    s.min[0] = mul(d, set_float(&kHighPlaneMiddle));
  } else if constexpr (F::is({T::kQ4_1, T::kQ5_1})) {
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

// The run's value in units of the activation's scale: what its first (or only) dot gives, and then
// the rest.
MARU_INLINE Floats first_part(Ints dot, const RunScales& s) {
  return mul(to_floats(dot), s.scale[0]);
}
template <class F>
MARU_INLINE Floats other_parts(Floats u, Ints last_dot, const RunScales& s,
                               const ActivationBlock& x) {
  if constexpr (F::kSum == RunSum::kScaleAndMin) u = fma(set_float(&x.sum), s.min[0], u);
  if constexpr (F::kHalves) u = fma(to_floats(last_dot), s.scale[1], u);
  if constexpr (F::kSum == RunSum::kTwoScalesAndMins) {
    for (int h = 0; h < 2; ++h) {
      const Ints sum = negate(shift_down<5>(set_int(&x.minus_32_half_sums[h])));
      u = fma(to_floats(sum), s.min[h], u);
    }
  }
  return u;
}

// Calls f with the Format of a quantized type that has a kernel.
template <class Function>
void with_format(tensor::DType dtype, const Function& f) {
  using T = tensor::DType;
  switch (dtype) {
    case T::kQ4_0:
      return f(Format<T::kQ4_0>{});
    case T::kQ4_1:
      return f(Format<T::kQ4_1>{});
    case T::kQ5_0:
      return f(Format<T::kQ5_0>{});
    case T::kQ5_1:
      return f(Format<T::kQ5_1>{});
    case T::kQ8_0:
      return f(Format<T::kQ8_0>{});
    case T::kQ2_K:
      return f(Format<T::kQ2_K>{});
    case T::kQ3_K:
      return f(Format<T::kQ3_K>{});
    case T::kQ4_K:
      return f(Format<T::kQ4_K>{});
    case T::kQ5_K:
      return f(Format<T::kQ5_K>{});
    case T::kQ6_K:
      return f(Format<T::kQ6_K>{});
    case T::kIQ4_NL:
      return f(Format<T::kIQ4_NL>{});
    case T::kIQ4_XS:
      return f(Format<T::kIQ4_XS>{});
    case T::kMXFP4:
      return f(Format<T::kMXFP4>{});
    default:
      CHECK(false);
  }
}
