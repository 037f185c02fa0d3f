// kernels/pack.inl.h - pack_groups() of whole groups, 16 rows at a time: 4 dwords of each row are
// loaded and transposed, so that a line is a register whose lanes are the rows. The same bytes as
// kernels/pack.cc makes, which says what they mean and packs what is not here: a last group of
// fewer rows, and floats whose columns are no multiple of 8.
//
// Included once per instruction set, inside its namespace and target region.

using U32x4 = uint32_t __attribute__((vector_size(16)));
using U32x8 = uint32_t __attribute__((vector_size(32)));
using Line = uint32_t __attribute__((vector_size(64)));  // a dword of each row
using U16x16 = uint16_t __attribute__((vector_size(32)));
using U8x16 = uint8_t __attribute__((vector_size(16)));

// 16 rows of the file.
struct Rows16 {
  const uint8_t* first;
  size_t row_bytes;

  MARU_INLINE Rows16 at(size_t offset) const { return {first + offset, row_bytes}; }
  MARU_INLINE U32x4 load4(size_t row) const {
    U32x4 dwords;
    std::memcpy(&dwords, first + row * row_bytes, sizeof dwords);
    return dwords;
  }
};

// Rows row, row + 4, row + 8 and row + 12 beside each other.
MARU_INLINE void beside(const Rows16& rows, size_t row, Line& out) {
  const U32x8 a =
      __builtin_shufflevector(rows.load4(row), rows.load4(row + 4), 0, 1, 2, 3, 4, 5, 6, 7);
  const U32x8 b =
      __builtin_shufflevector(rows.load4(row + 8), rows.load4(row + 12), 0, 1, 2, 3, 4, 5, 6, 7);
  out = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// lines[d] = dword d of each row, for d < 4: four 4 by 4 transposes.
MARU_INLINE void transpose4(const Rows16& rows, Line* lines) {
  Line a, b, c, d;
  beside(rows, 0, a);
  beside(rows, 1, b);
  beside(rows, 2, c);
  beside(rows, 3, d);
  // clang-format off
  const Line ab01 = __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21,
                                            8, 24, 9, 25, 12, 28, 13, 29);
  const Line ab23 = __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23,
                                            10, 26, 11, 27, 14, 30, 15, 31);
  const Line cd01 = __builtin_shufflevector(c, d, 0, 16, 1, 17, 4, 20, 5, 21,
                                            8, 24, 9, 25, 12, 28, 13, 29);
  const Line cd23 = __builtin_shufflevector(c, d, 2, 18, 3, 19, 6, 22, 7, 23,
                                            10, 26, 11, 27, 14, 30, 15, 31);
  lines[0] = __builtin_shufflevector(ab01, cd01, 0, 1, 16, 17, 4, 5, 20, 21,
                                     8, 9, 24, 25, 12, 13, 28, 29);
  lines[1] = __builtin_shufflevector(ab01, cd01, 2, 3, 18, 19, 6, 7, 22, 23,
                                     10, 11, 26, 27, 14, 15, 30, 31);
  lines[2] = __builtin_shufflevector(ab23, cd23, 0, 1, 16, 17, 4, 5, 20, 21,
                                     8, 9, 24, 25, 12, 13, 28, 29);
  lines[3] = __builtin_shufflevector(ab23, cd23, 2, 3, 18, 19, 6, 7, 22, 23,
                                     10, 11, 26, 27, 14, 15, 30, 31);
  // clang-format on
}

// lines[d] for d < n, a multiple of 4.
template <size_t n>
MARU_INLINE void transpose(const Rows16& rows, Line* lines) {
  MARU_UNROLL for (size_t d = 0; d < n; d += 4) transpose4(rows.at(4 * d), lines + d);
}

// The first dword of each row; the file need not have more bytes.
MARU_INLINE void first_dwords(const Rows16& rows, Line& out) {
  uint32_t dwords[16];
  for (size_t r = 0; r < 16; ++r) {
    std::memcpy(&dwords[r], rows.first + r * rows.row_bytes, sizeof dwords[r]);
  }
  std::memcpy(&out, dwords, sizeof out);
}

MARU_INLINE void store(const Line& line, uint8_t* to) { std::memcpy(to, &line, sizeof line); }

// The lower halves of the lanes: factors of 16 rows.
MARU_INLINE void store_halves(const Line& line, uint8_t* to) {
  const U16x16 halves = __builtin_convertvector(line, U16x16);
  std::memcpy(to, &halves, sizeof halves);
}

MARU_INLINE void store_factor(const Rows16& rows, uint8_t* to) {
  for (size_t r = 0; r < 16; ++r) {
    std::memcpy(to + 2 * r, rows.first + r * rows.row_bytes, 2);
  }
}

// Byte i of the lanes as scale line i.
MARU_INLINE void store_scales(const Line& line, uint8_t* to) {
  MARU_UNROLL for (uint32_t i = 0; i < 4; ++i) {
    const U8x16 bytes = __builtin_convertvector(line >> (8 * i) & 0xFFu, U8x16);
    std::memcpy(to + 16 * i, &bytes, sizeof bytes);
  }
}

// Bit l of byte i of a lane of `out` is bit 4 l + i of that of `word`.
MARU_INLINE void bits_by_byte(const Line& word, Line& out) {
  out = word ^ word;
  MARU_UNROLL for (uint32_t i = 0; i < 4; ++i) {
    Line bits = word >> i & 0x11111111u;
    bits = (bits | bits >> 3) & 0x03030303u;
    bits = (bits | bits >> 6) & 0x000F000Fu;
    bits = (bits | bits >> 12) & 0x000000FFu;
    out |= bits << (8 * i);
  }
}

constexpr uint32_t kNibbles = 0x0F0F0F0F;
constexpr uint32_t kPairs = 0x03030303;

// a and b: the bits `mask` of b, and those of a that lie kShift higher, change places.
template <uint32_t kShift, uint32_t kMask>
MARU_INLINE void swap_bits(Line& a, Line& b) {
  const Line differs = (a >> kShift ^ b) & kMask;
  a ^= differs << kShift;
  b ^= differs;
}

// The 1-bit lines of 8 runs of a block whose 8 dwords have a bit for each run: an 8 by 8 transpose
// of the bits of each byte.
MARU_INLINE void store_bit_runs(Line* dwords, uint8_t* to) {
  MARU_UNROLL for (size_t i = 0; i < 8; i += 2) swap_bits<1, 0x55555555>(dwords[i], dwords[i + 1]);
  MARU_UNROLL for (size_t i = 0; i < 8; i += 4) {
    swap_bits<2, 0x33333333>(dwords[i], dwords[i + 2]);
    swap_bits<2, 0x33333333>(dwords[i + 1], dwords[i + 3]);
  }
  MARU_UNROLL for (size_t i = 0; i < 4; ++i) swap_bits<4, kNibbles>(dwords[i], dwords[i + 4]);
  MARU_UNROLL for (size_t i = 0; i < 8; ++i) store(dwords[i], to + i * kLineBytes);
}

// The 2-bit lines of 4 runs whose codes are the 2-bit fields of 8 dwords: two 4 by 4 transposes of
// the fields of each byte.
MARU_INLINE void store_pair_runs(Line* dwords, uint8_t* to) {
  MARU_UNROLL for (size_t x = 0; x < 2; ++x) {
    Line* four = dwords + 4 * x;
    swap_bits<2, 0x33333333>(four[0], four[1]);
    swap_bits<2, 0x33333333>(four[2], four[3]);
    swap_bits<4, kNibbles>(four[0], four[2]);
    swap_bits<4, kNibbles>(four[1], four[3]);
    MARU_UNROLL for (size_t run = 0; run < 4; ++run) {
      store(four[run], to + (2 * run + x) * kLineBytes);
    }
  }
}

// 6-bit scales less 32, four to a lane.
MARU_INLINE void store_signed_scales(const Line& scales, uint8_t* to) {
  // No byte borrows: 128 to 191 less 32.
  store_scales(((scales | 0x80808080u) - 0x20202020u) ^ 0x80808080u, to);
}

// The runs whose codes are the low and the high nibbles of 8 dwords.
MARU_INLINE void store_low_run(const Line* from, uint8_t* to) {
  MARU_UNROLL for (size_t i = 0; i < 4; ++i) {
    store((from[i] & kNibbles) | (from[i + 4] & kNibbles) << 4, to + i * kLineBytes);
  }
}
MARU_INLINE void store_high_run(const Line* from, uint8_t* to) {
  MARU_UNROLL for (size_t i = 0; i < 4; ++i) {
    store((from[i] >> 4 & kNibbles) | (from[i + 4] & ~kNibbles), to + i * kLineBytes);
  }
}

// What lies where in a block of 32 with 16 bytes of nibbles.
struct NibbleBlock {
  size_t n_factors;
  size_t fifth_bits;  // offset, or 0
  size_t nibbles;     // offset
};

template <NibbleBlock kBlock>
MARU_INLINE void pack_nibble_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  Line lines[4];
  transpose<4>(rows.at(kBlock.nibbles), lines);
  MARU_UNROLL for (size_t i = 0; i < 4; ++i) store(lines[i], out + to.low + i * kLineBytes);
  if constexpr (kBlock.fifth_bits > 0) {
    Line word, bits;
    first_dwords(rows.at(kBlock.fifth_bits), word);
    bits_by_byte(word, bits);
    store(bits, out + to.high);
  }
  MARU_UNROLL for (size_t i = 0; i < kBlock.n_factors; ++i) {
    store_factor(rows.at(2 * i), out + to.deltas + 32 * i);
  }
}

MARU_INLINE void pack_q8_0_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  Line lines[8];
  transpose<8>(rows.at(2), lines);
  MARU_UNROLL for (size_t i = 0; i < 8; ++i) {
    store(lines[i] ^ 0x80808080u, out + to.low + i * kLineBytes);
  }
  store_factor(rows, out + to.deltas);
}

// Factors, 12 bytes of 6-bit scales and minimums (tensor::scale_min_k4), for Q4_K and Q5_K.
MARU_INLINE void pack_k4_scales(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  Line head[4];
  transpose<4>(rows, head);
  store_halves(head[0], out + to.deltas);
  store_halves(head[0] >> 16, out + to.deltas + 32);
  constexpr uint32_t kSix = 0x3F3F3F3F;
  store_scales(head[1] & kSix, out + to.scales);
  store_scales((head[3] & kNibbles) | (head[1] >> 6 & kPairs) << 4, out + to.scales + 64);
  store_scales(head[2] & kSix, out + to.scales + 128);
  store_scales((head[3] >> 4 & kNibbles) | (head[2] >> 6 & kPairs) << 4, out + to.scales + 192);
}

MARU_INLINE void pack_k4_nibbles(const Rows16& rows, uint8_t* low) {
  for (size_t pair = 0; pair < 4; ++pair) {
    Line lines[8];
    transpose<8>(rows.at(32 * pair), lines);
    store_low_run(lines, low + 8 * pair * kLineBytes);
    store_high_run(lines, low + (8 * pair + 4) * kLineBytes);
  }
}

MARU_INLINE void pack_q4_k_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  pack_k4_scales(rows, to, out);
  pack_k4_nibbles(rows.at(16), out + to.low);
}

MARU_INLINE void pack_q5_k_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  pack_k4_scales(rows, to, out);
  pack_k4_nibbles(rows.at(48), out + to.low);
  Line fifth[8];
  transpose<8>(rows.at(16), fifth);
  store_bit_runs(fifth, out + to.high);
}

MARU_INLINE void pack_q6_k_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  for (size_t half = 0; half < 2; ++half) {
    uint8_t* low = out + to.low + 16 * half * kLineBytes;
    for (size_t odd = 0; odd < 2; ++odd) {
      Line lines[8];
      transpose<8>(rows.at(64 * half + 32 * odd), lines);
      store_low_run(lines, low + 4 * odd * kLineBytes);
      store_high_run(lines, low + 4 * (odd + 2) * kLineBytes);
    }
    Line high[8];
    transpose<8>(rows.at(128 + 32 * half), high);
    store_pair_runs(high, out + to.high + 8 * half * kLineBytes);
  }
  Line scales[4];
  transpose<4>(rows.at(192), scales);
  MARU_UNROLL for (size_t i = 0; i < 4; ++i) store_scales(scales[i], out + to.scales + 64 * i);
  store_factor(rows.at(208), out + to.deltas);
}

// 64 bytes of 2-bit codes, for Q2_K and Q3_K.
MARU_INLINE void pack_pairs(const Rows16& rows, uint8_t* low) {
  for (size_t half = 0; half < 2; ++half) {
    Line lines[8];
    transpose<8>(rows.at(32 * half), lines);
    store_pair_runs(lines, low + 8 * half * kLineBytes);
  }
}

MARU_INLINE void pack_q2_k_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  Line scales[4], factors;
  transpose<4>(rows, scales);
  MARU_UNROLL for (size_t i = 0; i < 4; ++i) store_scales(scales[i], out + to.scales + 64 * i);
  pack_pairs(rows.at(16), out + to.low);
  first_dwords(rows.at(80), factors);
  store_halves(factors, out + to.deltas);
  store_halves(factors >> 16, out + to.deltas + 32);
}

MARU_INLINE void pack_q3_k_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  pack_pairs(rows.at(32), out + to.low);
  Line third[8];
  transpose<8>(rows, third);
  store_bit_runs(third, out + to.high);
  // The last 16 bytes of the block: 2 of the codes, 12 of the scales (tensor::scale_q3k), the
  // factor.
  Line tail[4];
  transpose<4>(rows.at(94), tail);
  const Line first = tail[0] >> 16 | tail[1] << 16, second = tail[1] >> 16 | tail[2] << 16;
  const Line high = tail[2] >> 16 | tail[3] << 16;
  uint8_t* scales = out + to.scales;
  store_signed_scales((first & kNibbles) | (high & kPairs) << 4, scales);
  store_signed_scales((second & kNibbles) | (high >> 2 & kPairs) << 4, scales + 64);
  store_signed_scales((first >> 4 & kNibbles) | (high >> 4 & kPairs) << 4, scales + 128);
  store_signed_scales((second >> 4 & kNibbles) | (high >> 6 & kPairs) << 4, scales + 192);
  store_halves(tail[3] >> 16, out + to.deltas);
}

// The low 16 bits' nibbles, one to a byte; and the low 8 bits in pairs.
MARU_INLINE void nibbles_by_byte(const Line& word, Line& out) {
  out = (word & 0x00FFu) | (word & 0xFF00u) << 8;
  out = (out | out << 4) & kNibbles;
}
MARU_INLINE void pairs_by_byte(const Line& word, Line& out) {
  out = (word & 0x0Fu) | (word & 0xF0u) << 12;
  out = (out | out << 6) & kPairs;
}

MARU_INLINE void pack_iq4_xs_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  for (size_t sub = 0; sub < 8; ++sub) {
    Line lines[4];
    transpose<4>(rows.at(8 + 16 * sub), lines);
    uint8_t* low = out + to.low + 4 * sub * kLineBytes;
    MARU_UNROLL for (size_t i = 0; i < 4; ++i) store(lines[i], low + i * kLineBytes);
  }
  // Factor and upper bits of the scales, their lower bits (tensor::scale_iq4xs), and codes.
  Line head[4], low, high;
  transpose<4>(rows, head);
  store_halves(head[0], out + to.deltas);
  MARU_UNROLL for (uint32_t i = 0; i < 2; ++i) {
    nibbles_by_byte(head[1] >> (16 * i), low);
    pairs_by_byte(head[0] >> (16 + 8 * i), high);
    store_signed_scales(low | high << 4, out + to.scales + 64 * i);
  }
}

MARU_INLINE void pack_mxfp4_block(const Rows16& rows, const PackedBlock& to, uint8_t* out) {
  pack_nibble_block<NibbleBlock{0, 0, 1}>(rows, to, out);
  for (size_t r = 0; r < 16; ++r) out[to.deltas + r] = rows.first[r * rows.row_bytes];
}

// One group, whose scales and deltas may end before their lines do: the rest is zero.
template <tensor::DType kType, auto kPackBlock>
MARU_INLINE void pack_quantized(const Rows16& rows, size_t n_cols, uint8_t* out) {
  constexpr PackedLayout kLayout = *packed_layout(kType);
  const size_t n_blocks = n_cols / kLayout.block;
  const size_t block_bytes = rows.row_bytes / n_blocks;
  const PackedGroup at = packed_group(kLayout, n_cols);
  for (size_t i = 0; i < at.n_units; ++i) {
    const PackedUnit& unit = at.unit(i);
    std::memset(out + i * at.whole.n_bytes + unit.scales, 0, unit.n_bytes - unit.scales);
  }
  for (size_t b = 0; b < n_blocks; ++b) {
    kPackBlock(rows.at(b * block_bytes), packed_block(kLayout, at, b), out);
  }
}

// F32, and BF16 in pairs, are lines of dwords as they are; F16 lines are halves of those.
MARU_INLINE void pack_dwords(const Rows16& rows, uint8_t* out, bool in_halves) {
  for (size_t d = 0; 4 * d < rows.row_bytes; d += 4) {
    Line lines[4];
    transpose4(rows.at(4 * d), lines);
    MARU_UNROLL for (size_t i = 0; i < 4; ++i) {
      uint8_t* to = out + (d + i) * kLineBytes;
      if (in_halves) {
        store_halves(lines[i], to);
        store_halves(lines[i] >> 16, to + kLineBytes / 2);
      } else {
        store(lines[i], to);
      }
    }
  }
}

// False where the type is not packed here.
MARU_NOINLINE bool pack_whole_group(tensor::DType dtype, const Rows16& rows, size_t n_cols,
                                    uint8_t* out) {
  using tensor::DType;
#define MARU_PACK(type, ...)                                     \
  case DType::type:                                              \
    pack_quantized<DType::type, __VA_ARGS__>(rows, n_cols, out); \
    return true
  switch (dtype) {
    MARU_PACK(kQ4_0, pack_nibble_block<NibbleBlock{1, 0, 2}>);
    MARU_PACK(kIQ4_NL, pack_nibble_block<NibbleBlock{1, 0, 2}>);
    MARU_PACK(kQ4_1, pack_nibble_block<NibbleBlock{2, 0, 4}>);
    MARU_PACK(kQ5_0, pack_nibble_block<NibbleBlock{1, 2, 6}>);
    MARU_PACK(kQ5_1, pack_nibble_block<NibbleBlock{2, 4, 8}>);
    MARU_PACK(kQ8_0, pack_q8_0_block);
    MARU_PACK(kQ4_K, pack_q4_k_block);
    MARU_PACK(kQ5_K, pack_q5_k_block);
    MARU_PACK(kQ6_K, pack_q6_k_block);
    MARU_PACK(kQ2_K, pack_q2_k_block);
    MARU_PACK(kQ3_K, pack_q3_k_block);
    MARU_PACK(kIQ4_XS, pack_iq4_xs_block);
    MARU_PACK(kMXFP4, pack_mxfp4_block);
    case DType::kF32:
    case DType::kBF16:
    case DType::kF16:
      if (n_cols % 8 != 0) return false;
      pack_dwords(rows, out, dtype == DType::kF16);
      return true;
    default:
      return false;
  }
#undef MARU_PACK
}

void pack_groups(const PackedMatrix& shape, const std::byte* rows, size_t group_begin,
                 size_t group_end, std::byte* out) {
  const tensor::DTypeInfo& info = tensor::dtype_info(shape.dtype);
  const size_t row_bytes = shape.n_cols / info.block_elements * info.block_bytes;
  for (size_t group = group_begin; group < group_end; ++group) {
    const size_t row = group * kGroupRows;
    const Rows16 from{reinterpret_cast<const uint8_t*>(rows) + row * row_bytes, row_bytes};
    auto* to = reinterpret_cast<uint8_t*>(out + group * shape.group_bytes);
    if (row + kGroupRows <= shape.n_rows && pack_whole_group(shape.dtype, from, shape.n_cols, to)) {
      continue;
    }
    kernels::pack_groups(shape, rows, group, group + 1, out);
  }
}
