// kernels/matmul_amx.cc - MatmulTable with AMX: integer products 16 rows by 16 tokens at a time,
// for quantized matrices and enough tokens; everything else goes to the AVX-512 table. Same bits.
//
// Per step of up to 8 runs the weights of a group are unpacked once to int8: a run is 8 lines, just
// what a weight tile is. A tile product gives the exact integer sums of one run, which are stored
// and then scaled and added as docs/formats/numerics.md says, in order of the runs. What bounds the
// speed is that scaling: per row and token a conversion, a product and one or two fma.
#include "kernels/activation.h"
#include "kernels/packed_layout.h"
#include "kernels/tables.h"
#include "kernels/target.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "base/check.h"
#include "tensor/blocks.h"

MARU_TARGET_BEGIN("amx-tile,amx-int8,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")
namespace maru::kernels::amx {
namespace {
#include "kernels/rows_avx512.inl.h"

#include "kernels/formats.inl.h"

constexpr size_t kTileTokens = 16;
// Fewer tokens than this left over are not worth a tile.
constexpr size_t kTokensMin = 12;
// The sums of this many tokens stay in the L1 cache while a group's runs pass by.
constexpr size_t kTokensPerSweep = 128;
constexpr size_t kStepRuns = 8;

// Tile registers, two of each: one run's product can begin before the last one's is stored.
constexpr size_t kSums = 0, kTokens = 2, kWeights = 4;

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t unused[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// gcc 12 does not know that tile instructions read memory: what was written before this is there.
MARU_INLINE void finish_writes() { asm volatile("" : : : "memory"); }

// k_bytes values along K per product: a run, or half of one.
void configure(size_t n_tokens, size_t k_bytes) {
  TileConfig config;
  const auto set = [&](size_t tile, size_t rows, size_t row_bytes) {
    for (size_t i = tile; i < tile + 2; ++i) {
      config.rows[i] = static_cast<uint8_t>(rows);
      config.row_bytes[i] = static_cast<uint16_t>(row_bytes);
    }
  };
  set(kSums, n_tokens, kLineBytes);
  set(kTokens, n_tokens, k_bytes);
  set(kWeights, k_bytes / 4, kLineBytes);
  finish_writes();
  _tile_loadconfig(&config);
}

// The weights of up to 8 runs of one group, ready for the tiles, and their scales.
struct alignas(64) Step {
  uint8_t weights[kStepRuns][8][kLineBytes];  // int8
  float scale[kStepRuns][2][kGroupRows];
  float min[kStepRuns][2][kGroupRows];
};

template <class F>
MARU_NOINLINE void unpack(const uint8_t* group, const PackedGroup& at, size_t first_run,
                          size_t n_runs, Step& step) {
  constexpr const PackedLayout& kLayout = F::kLayout;
  constexpr size_t kRuns = kLayout.block / kRun;
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(F::kOffset));
  for (size_t i = 0; i < n_runs; ++i) {
    const size_t run = first_run + i, sub = run % kRuns;
    const PackedBlock block = packed_block(kLayout, at, run / kRuns);
    const uint8_t* low = group + block.low + sub * kLayout.low_bits * kLineBytes;
    const uint8_t* high = group + block.high + sub * kLayout.high_bits * kLineBytes;
    unroll<8>([&](auto line) MARU_INLINE_LAMBDA {
      constexpr int l = decltype(line)::value;
      const Bytes w = weights_line<F, l>(low, high);
      _mm512_store_si512(step.weights[i][l], _mm512_sub_epi8(w, offset));
    });
    const RunScales s = run_scales<F>(group + block.scales, group + block.deltas, sub);
    for (size_t h = 0; h < (F::kHalves ? 2 : 1); ++h) {
      store_floats(step.scale[i][h], s.scale[h]);
      if constexpr (F::kMins) store_floats(step.min[i][h], s.min[h]);
    }
  }
}

// Products of a run that are scaled by themselves: its two halves, where they have their own
// scales.
template <class F>
constexpr int kParts = F::kHalves ? 2 : 1;
template <class F>
using Dots = int32_t[kParts<F>][kTileTokens][kGroupRows];

// One tile of products with one of the two sets of registers. (gcc wants the numbers as literals.)
template <int set>
MARU_INLINE void tile_product(const std::byte* tokens, size_t stride, const uint8_t* weights,
                              void* sums) {
  if constexpr (set == 0) {
    _tile_loadd(2, tokens, stride);
    _tile_loadd(4, weights, kLineBytes);
    _tile_zero(0);
    _tile_dpbssd(0, 2, 4);
    _tile_stored(0, sums, kLineBytes);
  } else {
    _tile_loadd(3, tokens, stride);
    _tile_loadd(5, weights, kLineBytes);
    _tile_zero(1);
    _tile_dpbssd(1, 3, 5);
    _tile_stored(1, sums, kLineBytes);
  }
}

// The integer sums of one run; set: which of the two sets of tile registers.
template <class F, int set>
MARU_INLINE void multiply_run(const Step& step, size_t run, const std::byte* q, size_t stride,
                              Dots<F>& dots) {
  unroll<kParts<F>>([&](auto part) MARU_INLINE_LAMBDA {
    constexpr int h = decltype(part)::value;
    tile_product<kParts<F> == 2 ? h : set>(q + 16 * h, stride, step.weights[run][4 * h], dots[h]);
  });
}

// One token's part of kRuns runs, added to its 16 sums.
template <class F, int kRuns>
MARU_INLINE void add_runs(const Dots<F>* dots, const RunScales* s, size_t t,
                          const ActivationBlock* x, float* sums) {
  Floats sum = load_floats(sums);
  MARU_UNROLL for (int run = 0; run < kRuns; ++run) {
    Ints run_dots[kParts<F>];
    MARU_UNROLL for (int h = 0; h < kParts<F>; ++h) {
      run_dots[h] = _mm512_load_si512(dots[run][h][t]);
    }
    Floats u = first_part(run_dots[0], s[run]);
    u = other_parts<F>(u, run_dots[kParts<F> - 1], s[run], x[run]);
    sum = fma(u, set_float(&x[run].scale), sum);
  }
  store_floats(sums, sum);
}

// kRuns runs of a step for all tokens, tile by tile; tokens: the first one's block of the first of
// the runs. While the vector units add one tile's runs, the tile unit makes the next tile's.
template <class F, int kRuns>
MARU_NOINLINE void multiply_runs(const Step& step, size_t first, const std::byte* tokens,
                                 size_t stride, size_t n_tokens, size_t tile_tokens,
                                 float (*sums)[kGroupRows]) {
  constexpr size_t kTokensPerRun = kTileTokens / kRuns;
  alignas(64) Dots<F> dots[2][kRuns];
  const auto multiply = [&](auto run, size_t t, Dots<F>* to) MARU_INLINE_LAMBDA {
    constexpr int i = decltype(run)::value;
    multiply_run<F, i % 2>(step, first + i, tokens + t * stride + i * sizeof(ActivationBlock),
                           stride, to[i]);
  };
  RunScales s[kRuns];
  unroll<kRuns>([&](auto run) MARU_INLINE_LAMBDA {
    constexpr int i = decltype(run)::value;
    for (int h = 0; h < kParts<F>; ++h) {
      s[i].scale[h] = load_floats(step.scale[first + i][h]);
      if constexpr (F::kMins) s[i].min[h] = load_floats(step.min[first + i][h]);
    }
    multiply(run, 0, dots[0]);
  });
  for (size_t t = 0, now = 0; t < n_tokens; t += tile_tokens, now ^= 1) {
    const bool more = t + tile_tokens < n_tokens;
    unroll<kRuns>([&](auto run) MARU_INLINE_LAMBDA {
      if (more) multiply(run, t + tile_tokens, dots[now ^ 1]);
      const size_t begin = decltype(run)::value * kTokensPerRun;
      for (size_t i = begin; i < std::min(begin + kTokensPerRun, tile_tokens); ++i) {
        const auto* x = reinterpret_cast<const ActivationBlock*>(tokens + (t + i) * stride);
        add_runs<F, kRuns>(dots[now], s, i, x, sums[t + i]);
      }
    });
  }
}

// All runs of a step, the largest power of two first.
template <class F, int kRuns = kStepRuns>
void multiply_step(const Step& step, size_t first, size_t n_runs, const std::byte* tokens,
                   size_t stride, size_t n_tokens, size_t tile_tokens, float (*sums)[kGroupRows]) {
  while (n_runs >= kRuns) {
    multiply_runs<F, kRuns>(step, first, tokens, stride, n_tokens, tile_tokens, sums);
    first += kRuns;
    n_runs -= kRuns;
    tokens += kRuns * sizeof(ActivationBlock);
  }
  if constexpr (kRuns > 1) {
    if (n_runs == 0) return;
    multiply_step<F, kRuns / 2>(step, first, n_runs, tokens, stride, n_tokens, tile_tokens, sums);
  }
}

// One group by up to kTokensPerSweep tokens, all with tiles of tile_tokens.
template <class F>
void sweep(const uint8_t* group, const PackedGroup& at, size_t n_cols, const std::byte* acts,
           size_t stride, size_t n_tokens, size_t tile_tokens, float (*sums)[kGroupRows]) {
  Step step;
  const std::byte* blocks = acts + sizeof(ActivationHeader);
  std::memset(sums, 0, n_tokens * sizeof *sums);
  for (size_t run = 0; run < n_cols / kRun; run += kStepRuns) {
    const size_t n_runs = std::min(kStepRuns, n_cols / kRun - run);
    unpack<F>(group, at, run, n_runs, step);
    finish_writes();
    // Two products per run: fewer runs at once, so that they stay in the L1 cache.
    multiply_step<F, kStepRuns / kParts<F>>(step, 0, n_runs, blocks + run * sizeof(ActivationBlock),
                                            stride, n_tokens, tile_tokens, sums);
  }
}

template <class F>
void int8_matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
                 size_t act_stride, size_t n_tokens, size_t tile_tokens, float* y,
                 size_t y_stride) {
  const PackedGroup at = packed_group(F::kLayout, w.n_cols);
  configure(tile_tokens, F::kHalves ? kRun / 2 : kRun);
  for (size_t group = group_begin; group < group_end; ++group) {
    const auto* base = reinterpret_cast<const uint8_t*>(w.data) + group * at.n_bytes;
    const size_t first_row = group * kGroupRows;
    const size_t n_rows = std::min(kGroupRows, w.n_rows - first_row);
    alignas(64) float sums[kTokensPerSweep][kGroupRows];
    for (size_t t = 0; t < n_tokens; t += kTokensPerSweep) {
      const size_t n = std::min(kTokensPerSweep, n_tokens - t);
      sweep<F>(base, at, w.n_cols, acts + t * act_stride, act_stride, n, tile_tokens, sums);
      for (size_t i = 0; i < n; ++i) {
        std::memcpy(y + (t + i) * y_stride + first_row, sums[i], n_rows * sizeof(float));
      }
    }
  }
  _tile_release();
}

// The product with rows of one plane; a token with two is left to the AVX-512 table.
void matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
            size_t act_stride, size_t n_tokens, float* y, size_t y_stride) {
  const auto rest = [&](size_t first, size_t n) {
    kMatmulAvx512.matmul(w, group_begin, group_end, acts + first * act_stride, act_stride, n,
                         y + first * y_stride, y_stride);
  };
  if (packed_layout(w.dtype)->activation != Activation::kInt8 || w.plane != Plane::kWhole) {
    return rest(0, n_tokens);
  }
  const size_t n_whole = n_tokens / kTileTokens * kTileTokens, n_left = n_tokens - n_whole;
  with_format(w.dtype, [&](auto format) {
    using F = decltype(format);
    if (n_whole > 0) {
      int8_matmul<F>(w, group_begin, group_end, acts, act_stride, n_whole, kTileTokens, y,
                     y_stride);
    }
    if (n_left >= kTokensMin) {
      int8_matmul<F>(w, group_begin, group_end, acts + n_whole * act_stride, act_stride, n_left,
                     n_left, y + n_whole * y_stride, y_stride);
    }
  });
  const size_t n_done = n_left >= kTokensMin ? n_tokens : n_whole;
  for (size_t t = 0; t < n_done; ++t) {
    if (activation_header(acts + t * act_stride).n_planes == 2) rest(t, 1);
  }
  if (n_done < n_tokens) rest(n_done, n_tokens - n_done);
}

void quantize_row(Activation activation, const float* x, size_t n, std::byte* out) {
  kMatmulAvx512.quantize_row(activation, x, n, out);
}

}  // namespace
}  // namespace maru::kernels::amx
MARU_TARGET_END

namespace maru::kernels {
const MatmulTable kMatmulAmx = {amx::quantize_row, amx::matmul};
}  // namespace maru::kernels
#endif
