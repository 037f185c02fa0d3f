// tensor/quantize_k.cc - Q4_K, Q5_K and Q6_K: every sub-block gets its best scale (and minimum),
// then these are themselves rounded to the small integers that the block has room for.
//
// Rounding moves them, so the integers next to the nearest are tried too, with the codes that they
// lead to. The blocks are drawn in docs/formats/quants.md.
#include "tensor/quantize_k.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "tensor/blocks.h"
#include "tensor/scale_search.h"

namespace maru::tensor {
namespace {

constexpr size_t kBlock = 256;
constexpr size_t kRun = 32;  // values of a sub-block of Q4_K and Q5_K
constexpr size_t kRuns = kBlock / kRun;
constexpr int kScaleMax = 63;  // 6 bits
constexpr size_t kRunQ6 = 16;
constexpr size_t kRunsQ6 = kBlock / kRunQ6;
constexpr CodeRange kCodesQ6 = {-32, 31};

using Run = std::span<const float>;

uint8_t code_of(float x, float inverse, CodeRange range) {
  return static_cast<uint8_t>(
      nearest_code(x * inverse, static_cast<float>(range.low), static_cast<float>(range.high)));
}

// What a block of Q4_K or Q5_K holds, one byte for each value.
struct AffineBlock {
  StoredScale d, dmin;
  std::array<ScaleMin, kRuns> scales;
  std::array<uint8_t, kBlock> codes;
};

// The integers for one run: those nearest to `wanted` and their neighbours.
ScaleMin choose_scales(Run x, Affine wanted, float d, float dmin, int high) {
  const int scale = static_cast<int>(
      nearest_code(wanted.scale * inverse_of(d), 0, static_cast<float>(kScaleMax)));
  const int min = static_cast<int>(
      nearest_code(wanted.min * inverse_of(dmin), 0, static_cast<float>(kScaleMax)));
  ScaleMin best{};  // zeros, where float16 has no scale as small as would be needed
  float best_error = squared_error(x, {0, 0}, {0, high});
  for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, kScaleMax); ++s) {
    for (int m = std::max(min - 1, 0); m <= std::min(min + 1, kScaleMax); ++m) {
      const Affine stored{d * static_cast<float>(s), dmin * static_cast<float>(m)};
      const float error = squared_error(x, stored, {0, high});
      if (error < best_error) {
        best_error = error;
        best = {static_cast<uint8_t>(s), static_cast<uint8_t>(m)};
      }
    }
  }
  return best;
}

AffineBlock make_affine_block(const float* x, int high) {
  std::array<Affine, kRuns> wanted;
  Affine largest{0, 0};
  for (size_t j = 0; j < kRuns; ++j) {
    wanted[j] = search_affine(Run(x + kRun * j, kRun), high);
    largest.scale = std::max(largest.scale, wanted[j].scale);
    largest.min = std::max(largest.min, wanted[j].min);
  }
  AffineBlock block;
  block.d = stored_scale(largest.scale / static_cast<float>(kScaleMax));
  block.dmin = stored_scale(largest.min / static_cast<float>(kScaleMax));
  for (size_t j = 0; j < kRuns; ++j) {
    const Run run(x + kRun * j, kRun);
    block.scales[j] = choose_scales(run, wanted[j], block.d.value, block.dmin.value, high);
    const float inverse = inverse_of(block.d.value * static_cast<float>(block.scales[j].scale));
    const float min = block.dmin.value * static_cast<float>(block.scales[j].min);
    for (size_t i = 0; i < kRun; ++i) {
      block.codes[kRun * j + i] = code_of(run[i] + min, inverse, {0, high});
    }
  }
  return block;
}

// The first 16 bytes of both types; scale_min_k4() reads the scales.
void write_scales(const AffineBlock& block, uint8_t* b) {
  std::memcpy(b, &block.d.bits, sizeof block.d.bits);
  std::memcpy(b + 2, &block.dmin.bits, sizeof block.dmin.bits);
  uint8_t* packed = b + 4;
  for (size_t j = 0; j < 4; ++j) {
    const ScaleMin low = block.scales[j];
    const ScaleMin high = block.scales[j + 4];
    packed[j] = static_cast<uint8_t>(low.scale | high.scale >> 4 << 6);
    packed[j + 4] = static_cast<uint8_t>(low.min | high.min >> 4 << 6);
    packed[j + 8] = static_cast<uint8_t>((high.scale & 15) | (high.min & 15) << 4);
  }
}

// Low nibbles are the even runs, high nibbles the odd ones.
void write_nibbles(const AffineBlock& block, uint8_t* nibbles) {
  for (size_t i = 0; i < kBlock / 2; ++i) {
    const uint8_t* codes = block.codes.data() + i / kRun * 2 * kRun + i % kRun;
    nibbles[i] = static_cast<uint8_t>((codes[0] & 15) | (codes[kRun] & 15) << 4);
  }
}

}  // namespace

void make_q4_k_block(const float* x, uint8_t* b) {
  const AffineBlock block = make_affine_block(x, 15);
  write_scales(block, b);
  write_nibbles(block, b + 16);
}

void make_q5_k_block(const float* x, uint8_t* b) {
  const AffineBlock block = make_affine_block(x, 31);
  write_scales(block, b);
  for (size_t v = 0; v < kRun; ++v) {
    int fifth_bits = 0;
    for (size_t j = 0; j < kRuns; ++j) fifth_bits |= block.codes[kRun * j + v] >> 4 << j;
    b[16 + v] = static_cast<uint8_t>(fifth_bits);
  }
  write_nibbles(block, b + 48);
}

void make_q6_k_block(const float* x, uint8_t* b) {
  std::array<float, kRunsQ6> wanted;
  for (size_t j = 0; j < kRunsQ6; ++j) {
    wanted[j] = search_scale(Run(x + kRunQ6 * j, kRunQ6), kCodesQ6);
  }
  constexpr float kLow = -128, kHigh = 127;
  const StoredScale d = stored_scale(farthest_from_zero(wanted) / kLow);
  std::array<uint8_t, kBlock> codes;
  for (size_t j = 0; j < kRunsQ6; ++j) {
    const Run run(x + kRunQ6 * j, kRunQ6);
    const float nearest = nearest_code(wanted[j] * inverse_of(d.value), kLow, kHigh);
    float best = 0;
    float best_error = squared_error(run, {0, 0}, kCodesQ6);
    for (const float scale : {nearest, nearest - 1, nearest + 1}) {
      if (scale < kLow || scale > kHigh) continue;
      const float error = squared_error(run, {d.value * scale, 0}, kCodesQ6);
      if (error < best_error) {
        best_error = error;
        best = scale;
      }
    }
    const float inverse = inverse_of(d.value * best);
    for (size_t i = 0; i < kRunQ6; ++i) {
      codes[kRunQ6 * j + i] = static_cast<uint8_t>(
          static_cast<int>(nearest_code(run[i] * inverse, -32, 31)) - kCodesQ6.low);
    }
    b[192 + j] = static_cast<uint8_t>(static_cast<int8_t>(best));
  }
  // In each half of the block: quarters t = 0, 1 are the low nibbles of bytes 0-63, 2 and 3 the
  // high ones; the upper bits of quarter t are bits 2t of 32 bytes.
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t* c = codes.data() + 128 * half;
    for (size_t i = 0; i < 64; ++i) {
      b[64 * half + i] = static_cast<uint8_t>((c[i] & 15) | (c[64 + i] & 15) << 4);
    }
    for (size_t v = 0; v < 32; ++v) {
      b[128 + 32 * half + v] = static_cast<uint8_t>(c[v] >> 4 | c[32 + v] >> 4 << 2 |
                                                    c[64 + v] >> 4 << 4 | c[96 + v] >> 4 << 6);
    }
  }
  std::memcpy(b + 208, &d.bits, sizeof d.bits);
}

}  // namespace maru::tensor
