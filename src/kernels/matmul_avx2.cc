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

constexpr size_t kLanes = 8;
// 4 sums and 4 dots are half of 16 registers; a product takes three more.
constexpr int kTileGroups = 1;
constexpr int kTileColumns = 4;
constexpr int kHalvesTileColumns = 4;
constexpr size_t kFloatTileColumns = 2;

using Bytes = __m256i;
using Ints = __m256i;
using Floats = __m256;

MARU_INLINE Bytes load_bytes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
template <int n>
MARU_INLINE Bytes shift(Bytes v) {
  if constexpr (n > 0) return _mm256_srli_epi16(v, n);
  if constexpr (n < 0) return _mm256_slli_epi16(v, -n);
  return v;
}
MARU_INLINE Bytes bits(Bytes v, uint8_t mask) {
  return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
}
MARU_INLINE Bytes either(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
MARU_INLINE Bytes lookup(const uint8_t* table, Bytes codes) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), codes);
}

MARU_INLINE Ints set_int(const void* p) {
  int32_t value;
  std::memcpy(&value, p, sizeof value);
  return _mm256_set1_epi32(value);
}
template <int n>
MARU_INLINE Ints shift_down(Ints v) {
  return _mm256_srai_epi32(v, n);
}
MARU_INLINE Ints negate(Ints v) { return _mm256_sub_epi32(_mm256_setzero_si256(), v); }
// vpmaddubsw adds two products in int16: 2 * 63 * 127 fits.
MARU_INLINE Bytes four(const int8_t* q) { return set_int(q); }
MARU_INLINE Bytes held(Bytes v) { return v; }
MARU_INLINE void prefetch(const uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}
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

MARU_INLINE Floats zero() { return _mm256_setzero_ps(); }
MARU_INLINE Floats set_float(const float* p) { return _mm256_set1_ps(*p); }
MARU_INLINE Floats to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
MARU_INLINE Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
MARU_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
MARU_INLINE Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
MARU_INLINE Floats negate(Floats a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
MARU_INLINE __m128i load_8_bytes(const uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}
MARU_INLINE Floats load_f16(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
MARU_INLINE Floats load_u8(const uint8_t* p) {
  return to_floats(_mm256_cvtepu8_epi32(load_8_bytes(p)));
}
MARU_INLINE Floats load_i8(const uint8_t* p) {
  return to_floats(_mm256_cvtepi8_epi32(load_8_bytes(p)));
}
MARU_INLINE Floats load_low_nibbles(const uint8_t* p) {
  return to_floats(bits(_mm256_cvtepu8_epi32(load_8_bytes(p)), 15));
}
MARU_INLINE Floats load_high_nibbles(const uint8_t* p) {
  return to_floats(_mm256_srli_epi32(_mm256_cvtepu8_epi32(load_8_bytes(p)), 4));
}
// 2^(e - 128): an exponent field of e - 1, or a subnormal where e < 2.
MARU_INLINE Floats load_e8m0_half(const uint8_t* p) {
  const __m256i e = _mm256_cvtepu8_epi32(load_8_bytes(p));
  const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
  const __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
  const __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
  return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, is_small));
}
MARU_INLINE Floats load_floats(const float* p) { return _mm256_loadu_ps(p); }
MARU_INLINE void store_floats(float* p, Floats v) { _mm256_storeu_ps(p, v); }
MARU_INLINE Floats bf16_even(Bytes pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}
MARU_INLINE Floats bf16_odd(Bytes pairs) {
  return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(int32_t(0xFFFF0000u))));
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
