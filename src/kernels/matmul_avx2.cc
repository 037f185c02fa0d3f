// kernels/matmul_avx2.cc - MatmulTable with AVX2, FMA and F16C: a register is 8 rows, so a group of
// 16 takes two passes. Bodies: kernels/matmul.inl.h and kernels/quantize.inl.h, which say what each
// operation means.
#include "kernels/activation.h"
#include "kernels/packed_layout.h"
#include "kernels/tables.h"
#include "kernels/target.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <array>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "base/check.h"
#include "tensor/blocks.h"

MARU_TARGET_BEGIN("avx2,fma,f16c")
namespace maru::kernels::avx2 {
namespace {
#include "kernels/f32x16_avx2.inl.h"

#include "kernels/rows_avx2.inl.h"

// 4 sums and 4 dots are half of 16 registers; a product takes three more.
constexpr int kTileGroups = 1;
constexpr int kTileColumns = 4;
constexpr int kHalvesTileGroups = 1;
constexpr int kHalvesTileColumns = 4;
// 3 columns x 4 sums are 12 registers, beside weights and a value.
constexpr int kFloatTileGroups = 1;
constexpr int kFloatTileColumns = 3;
constexpr int kFloatGroupColumns = 3;

// vpmaddubsw adds two products in int16: 2 * 63 * 127 fits.
MARU_INLINE Ints dot(Ints sum, Bytes w, Bytes q) {
  const __m256i pairs = _mm256_maddubs_epi16(w, q);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
// Codes up to 255 would not fit; |weight| times the activation with the weight's sign does:
// 2 * 128 * 127 = 32512. So there is no offset to take back.
MARU_INLINE Ints wide_start(const int32_t*) { return _mm256_setzero_si256(); }
MARU_INLINE Ints wide_dot(Ints sum, Bytes codes, Bytes q) {
  const __m256i w = _mm256_xor_si256(codes, _mm256_set1_epi8(INT8_MIN));
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

struct Ints16 {
  __m256i lo, hi;
};
MARU_INLINE Ints16 round_to_ints(F32x16 x) {
  return {_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)};
}
MARU_INLINE F32x16 to_f32(Ints16 q) { return {_mm256_cvtepi32_ps(q.lo), _mm256_cvtepi32_ps(q.hi)}; }
MARU_INLINE int32_t sum(Ints16 q) {
  const __m256i eight = _mm256_add_epi32(q.lo, q.hi);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1)));
}
MARU_INLINE void store_int8(Ints16 q, int8_t* p) {
  const __m256i words = _mm256_packs_epi32(q.lo, q.hi);  // 0-3 8-11 | 4-7 12-15
  const __m256i in_order = _mm256_permute4x64_epi64(words, 0xD8);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(p),
      _mm_packs_epi16(_mm256_castsi256_si128(in_order), _mm256_extracti128_si256(in_order, 1)));
}
MARU_INLINE Ints16 load_int8(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
}
MARU_INLINE F32x16 magnitude(F32x16 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.lo), _mm256_andnot_ps(sign, x.hi)};
}
MARU_INLINE uint32_t largest_bits(F32x16 a, F32x16 b) {
  const F32x16 x = magnitude(a), y = magnitude(b);
  const __m256i most =
      _mm256_max_epi32(_mm256_max_epi32(_mm256_castps_si256(x.lo), _mm256_castps_si256(x.hi)),
                       _mm256_max_epi32(_mm256_castps_si256(y.lo), _mm256_castps_si256(y.hi)));
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return static_cast<uint32_t>(
      _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0xB1))));
}

#include "kernels/quantize.inl.h"

#include "kernels/formats.inl.h"
#include "kernels/matmul.inl.h"
}  // namespace
}  // namespace maru::kernels::avx2
MARU_TARGET_END

namespace maru::kernels {
const MatmulTable kMatmulAvx2 = {avx2::quantize_row, avx2::matmul};
}  // namespace maru::kernels
#endif
