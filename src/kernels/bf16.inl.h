// kernels/bf16.inl.h - products with BF16 matrices, whose activations are bf16 too: per dword two
// columns of one row. Included by matmul_<isa>.cc inside its namespace and target region, after its
// rows_<isa>.inl.h and
//   pair_dot(sum, w, x)  fma(even w, even x, fma(odd w, odd x, sum)), as
//                        docs/formats/numerics.md says
//   PairMode             an object of it lives while pair_dot is used
//   kPairTileGroups, kPairTileColumns

// What is the same for all tiles of a call.
struct PairCall {
  size_t group_bytes;
  size_t n_pairs;
  size_t n_rows;
  size_t act_stride;
  size_t y_stride;
};

// Sums of kLanes rows of each group from `lane` on. first: no tile before has asked for what
// follows these groups.
template <int kColumns, int kGroups>
MARU_NOINLINE void pair_tile(const PairCall& call, const uint8_t* base, size_t lane, bool first,
                             const std::byte* acts, float (*out)[kGroups][kLanes]) {
  const int8_t* x[kColumns];
  Floats sums[kColumns][kGroups];
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    x[c] = reinterpret_cast<const int8_t*>(acts + static_cast<size_t>(c) * call.act_stride);
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) sums[c][g] = zero();
  }
  const uint8_t* line = base + 4 * lane;
  for (size_t p = 0; p < call.n_pairs; ++p, line += kLineBytes) {
    Bytes w[kGroups];
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) {
      const uint8_t* at = line + static_cast<size_t>(g) * call.group_bytes;
      if (first) prefetch(at + kPrefetchBytes);
      w[g] = load_bytes(at);
    }
    MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
      const Bytes pair = four(x[c] + 4 * p);
      MARU_UNROLL for (int g = 0; g < kGroups; ++g) sums[c][g] = pair_dot(sums[c][g], w[g], pair);
    }
  }
  MARU_UNROLL for (int c = 0; c < kColumns; ++c) {
    MARU_UNROLL for (int g = 0; g < kGroups; ++g) store_floats(out[c][g], sums[c][g]);
  }
}

// n columns, 1 to kColumns.
template <int kColumns, int kGroups>
void pair_tiles(size_t n, const PairCall& call, const uint8_t* base, size_t first_row, bool first,
                const std::byte* acts, float* y) {
  if constexpr (kColumns > 1) {
    if (n < kColumns) {
      return pair_tiles<kColumns - 1, kGroups>(n, call, base, first_row, first, acts, y);
    }
  }
  alignas(64) float out[kColumns][kGroups][kLanes];
  for (size_t lane = 0; lane < kGroupRows; lane += kLanes) {
    pair_tile<kColumns, kGroups>(call, base, lane, first && lane == 0, acts, out);
    for (size_t c = 0; c < kColumns; ++c) {
      for (size_t g = 0; g < kGroups; ++g) {
        const size_t row = first_row + g * kGroupRows + lane;
        if (row >= call.n_rows) continue;
        const size_t n_rows = call.n_rows - row < kLanes ? call.n_rows - row : kLanes;
        std::memcpy(y + c * call.y_stride + row, out[c][g], n_rows * sizeof(float));
      }
    }
  }
}

void bf16_matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
                 size_t act_stride, size_t n_tokens, float* y, size_t y_stride) {
  constexpr size_t kMost = kPairTileColumns, kMostGroups = kPairTileGroups;
  [[maybe_unused]] const PairMode mode;
  const PairCall call{w.group_bytes, (w.n_cols + 1) / 2, w.n_rows, act_stride, y_stride};
  const size_t n_fit = kColumnBlockBytes / (4 * call.n_pairs) / kMost * kMost;
  const size_t n_block = n_fit < kMost ? kMost : n_fit;
  for (size_t begin = 0; begin < n_tokens; begin += n_block) {
    const size_t n = n_tokens - begin < n_block ? n_tokens - begin : n_block;
    const size_t n_tiles = (n + kMost - 1) / kMost;
    for (size_t group = group_begin; group < group_end;) {
      const bool whole = group_end - group >= kMostGroups;
      const auto* base = reinterpret_cast<const uint8_t*>(w.data) + group * w.group_bytes;
      for (size_t t = 0; t < n_tiles; ++t) {  // of nearly equal widths
        const size_t column = begin + n * t / n_tiles;
        const size_t n_columns = begin + n * (t + 1) / n_tiles - column;
        const std::byte* x = acts + column * act_stride;
        float* to = y + column * y_stride;
        if (whole) {
          pair_tiles<kMost, kMostGroups>(n_columns, call, base, group * kGroupRows, t == 0, x, to);
        } else {
          pair_tiles<kMost, 1>(n_columns, call, base, group * kGroupRows, t == 0, x, to);
        }
      }
      group += whole ? kMostGroups : 1;
    }
  }
}
