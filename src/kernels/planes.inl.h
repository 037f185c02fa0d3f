// kernels/planes.inl.h - PlaneTable, a line at a time: the same bytes as kernels/planes.cc.
// Included by pack_<isa>.cc after kernels/pack.inl.h, whose Line and store() it uses.

MARU_INLINE void load(const uint8_t* from, Line& line) { std::memcpy(&line, from, sizeof line); }

// Calls f(0) to f(7) with the code line as a constant.
template <class F, size_t... k>
MARU_INLINE void for_code_lines(const F& f, std::index_sequence<k...>) {
  (f(std::integral_constant<size_t, k>{}), ...);
}
template <class F>
MARU_INLINE void for_code_lines(const F& f) {
  for_code_lines(f, std::make_index_sequence<8>{});
}

// The low bits of code line k of a run.
template <size_t k>
MARU_INLINE void low_codes(const Line* low, Line& out) {
  if constexpr (k < 6) {
    out = low[k / 2] >> (3 * (k % 2)) & 0x07070707u;
  } else {
    out = (low[k - 6] >> 6 & kPairs) | (low[2] >> (k - 2) & 0x04040404u);
  }
}

// Calls f(run, where it lies in the packed group, where in the high plane).
template <class F>
MARU_INLINE void for_plane_runs(size_t n_cols, const F& f) {
  constexpr PackedLayout kWholeLayout = *packed_layout(tensor::DType::kQ8_0);
  const PackedGroup whole = packed_group(kWholeLayout, n_cols);
  const PackedGroup upper = packed_group(kHighPlaneLayout, n_cols);
  for (size_t run = 0; run < n_cols / kRun; ++run) {
    f(run, packed_block(kWholeLayout, whole, run), packed_block(kHighPlaneLayout, upper, run));
  }
}

// Zeros behind the factors of each unit.
MARU_INLINE void clear_deltas(const PackedLayout& layout, size_t n_cols, uint8_t* group) {
  const PackedGroup at = packed_group(layout, n_cols);
  for (size_t u = 0; u < at.n_units; ++u) {
    const PackedUnit& unit = at.unit(u);
    std::memset(group + u * at.whole.n_bytes + unit.deltas, 0, unit.n_bytes - unit.deltas);
  }
}

// Adds bits of each byte, moved to the right by n (to the left where it is negative).
template <uint32_t kMask, int n>
MARU_INLINE void add_bits(const Line& from, Line& to) {
  const Line some = from & (kMask * 0x01010101u);
  if constexpr (n >= 0) {
    to |= some >> n;
  } else {
    to |= some << -n;
  }
}

void split_planes(size_t n_cols, const std::byte* group, std::byte* high, std::byte* low) {
  const auto* from = reinterpret_cast<const uint8_t*>(group);
  auto* high_to = reinterpret_cast<uint8_t*>(high);
  auto* low_to = reinterpret_cast<uint8_t*>(low);
  clear_deltas(kHighPlaneLayout, n_cols, high_to);
  for_plane_runs(n_cols, [&](size_t run, const PackedBlock& whole, const PackedBlock& upper) {
    std::memcpy(high_to + upper.deltas, from + whole.deltas, 2 * kGroupRows);
    Line codes[8];
    for (size_t k = 0; k < 8; ++k) load(from + whole.low + k * kLineBytes, codes[k]);
    Line high_lines[5], low_lines[kLowPlaneLines];
    MARU_UNROLL for (size_t k = 0; k < 5; ++k) high_lines[k] = codes[k] & 0xF8F8F8F8u;
    add_bits<0xE0, 5>(codes[5], high_lines[0]);
    add_bits<0x18, 3>(codes[5], high_lines[1]);
    add_bits<0xE0, 5>(codes[6], high_lines[2]);
    add_bits<0x18, 3>(codes[6], high_lines[3]);
    add_bits<0xE0, 5>(codes[7], high_lines[4]);
    add_bits<0x10, 2>(codes[7], high_lines[1]);
    add_bits<0x08, 1>(codes[7], high_lines[3]);
    MARU_UNROLL for (size_t k = 0; k < kLowPlaneLines; ++k) {
      low_lines[k] = codes[2 * k] & 0x07070707u;
      add_bits<7, -3>(codes[2 * k + 1], low_lines[k]);
    }
    add_bits<3, -6>(codes[6], low_lines[0]);
    add_bits<3, -6>(codes[7], low_lines[1]);
    add_bits<4, -4>(codes[6], low_lines[2]);
    add_bits<4, -5>(codes[7], low_lines[2]);
    for (size_t i = 0; i < 5; ++i) store(high_lines[i], high_to + upper.low + i * kLineBytes);
    for (size_t i = 0; i < kLowPlaneLines; ++i) {
      store(low_lines[i], low_to + (run * kLowPlaneLines + i) * kLineBytes);
    }
  });
}

void plane_rests(size_t n_cols, const std::byte* high, const std::byte* low, const uint8_t* weights,
                 float* rests) {
  const auto* high_from = reinterpret_cast<const uint8_t*>(high);
  const auto* low_from = reinterpret_cast<const uint8_t*>(low);
  float energy[kGroupRows] = {}, squares[kGroupRows] = {};
  for_plane_runs(n_cols, [&](size_t run, const PackedBlock&, const PackedBlock& upper) {
    Line low_lines[kLowPlaneLines], sum;
    for (size_t i = 0; i < kLowPlaneLines; ++i) {
      load(low_from + (run * kLowPlaneLines + i) * kLineBytes, low_lines[i]);
    }
    sum = low_lines[0] ^ low_lines[0];
    for_code_lines([&](auto line) MARU_INLINE_LAMBDA {
      constexpr size_t k = decltype(line)::value;
      Line codes;
      low_codes<k>(low_lines, codes);
      MARU_UNROLL for (uint32_t i = 0; i < 4; ++i) {
        const Line twice = (codes >> (8 * i) & 7u) * 2u - 7u;  // modulo 2^32, as its square
        sum += twice * twice * uint32_t{weights[kRun * run + 4 * k + i]};
      }
    });
    uint32_t sums[kGroupRows];
    std::memcpy(sums, &sum, sizeof sums);
    for (size_t r = 0; r < kGroupRows; ++r) {
      uint16_t factor;
      std::memcpy(&factor, high_from + upper.deltas + 2 * r, sizeof factor);
      const float d = tensor::f16_to_f32(factor);
      energy[r] += d * d * static_cast<float>(sums[r]);
      squares[r] += d * d;
    }
  });
  for (size_t r = 0; r < kGroupRows; ++r) {
    rests[r] = rest_of_row(energy[r], squares[r], n_cols / kRun);
  }
}
