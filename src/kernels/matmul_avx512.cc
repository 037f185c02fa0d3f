// kernels/matmul_avx512.cc - MatmulTable with AVX-512 VNNI: 16 rows are one register. Bodies:
// kernels/matmul.inl.h and kernels/quantize.inl.h, which say what each operation means.
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

MARU_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")
namespace maru::kernels::avx512 {
namespace {
#include "kernels/f32x16_avx512.inl.h"

constexpr size_t kLanes = 16;
// 8 sums and 16 dots (two per column) are 24 of 32 registers.
constexpr int kTileColumns = 8;
constexpr size_t kFloatTileColumns = 4;

using Bytes = __m512i;
using Ints = __m512i;
using Floats = __m512;

MARU_INLINE Bytes load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
template <int n>
MARU_INLINE Bytes shift(Bytes v) {
  if constexpr (n > 0) return _mm512_srli_epi16(v, n);
  if constexpr (n < 0) return _mm512_slli_epi16(v, -n);
  return v;
}
MARU_INLINE Bytes bits(Bytes v, uint8_t mask) {
  return _mm512_and_si512(v, _mm512_set1_epi8(static_cast<char>(mask)));
}
MARU_INLINE Bytes either(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }
MARU_INLINE Bytes lookup(const uint8_t* table, Bytes codes) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), codes);
}

MARU_INLINE int32_t load_int(const void* p) {
  int32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
MARU_INLINE Ints set_int(const int32_t* p) { return _mm512_set1_epi32(*p); }
template <int n>
MARU_INLINE Ints shift_down(Ints v) {
  return _mm512_srai_epi32(v, n);
}
MARU_INLINE Ints negate(Ints v) { return _mm512_sub_epi32(_mm512_setzero_si512(), v); }
MARU_INLINE Ints dot(Ints sum, Bytes w, const int8_t* q) {
  return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(load_int(q)));
}
MARU_INLINE Ints wide_start(const int32_t* minus_128_sum) { return set_int(minus_128_sum); }
MARU_INLINE Ints wide_dot(Ints sum, Bytes w, const int8_t* q) { return dot(sum, w, q); }

MARU_INLINE Floats zero() { return _mm512_setzero_ps(); }
MARU_INLINE Floats set_float(const float* p) { return _mm512_set1_ps(*p); }
MARU_INLINE Floats to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
MARU_INLINE Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
MARU_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
MARU_INLINE Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
MARU_INLINE Floats negate(Floats a) {
  return _mm512_xor_ps(a, _mm512_castsi512_ps(_mm512_set1_epi32(INT32_MIN)));
}
MARU_INLINE __m128i load_16_bytes(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
MARU_INLINE Floats load_f16(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
MARU_INLINE Floats load_u8(const uint8_t* p) {
  return to_floats(_mm512_cvtepu8_epi32(load_16_bytes(p)));
}
MARU_INLINE Floats load_i8(const uint8_t* p) {
  return to_floats(_mm512_cvtepi8_epi32(load_16_bytes(p)));
}
MARU_INLINE Floats load_low_nibbles(const uint8_t* p) {
  return to_floats(bits(_mm512_cvtepu8_epi32(load_16_bytes(p)), 15));
}
MARU_INLINE Floats load_high_nibbles(const uint8_t* p) {
  return to_floats(_mm512_srli_epi32(_mm512_cvtepu8_epi32(load_16_bytes(p)), 4));
}
// 2^(e - 128): an exponent field of e - 1, or a subnormal where e < 2.
MARU_INLINE Floats load_e8m0_half(const uint8_t* p) {
  const __m512i e = _mm512_cvtepu8_epi32(load_16_bytes(p));
  const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
  const __m512i small = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
  const __mmask16 is_small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
  return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, is_small, small));
}
MARU_INLINE Floats load_floats(const float* p) { return _mm512_loadu_ps(p); }
MARU_INLINE void store_floats(float* p, Floats v) { _mm512_storeu_ps(p, v); }
MARU_INLINE Floats bf16_even(Bytes pairs) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}
MARU_INLINE Floats bf16_odd(Bytes pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(int32_t(0xFFFF0000u))));
}

using Ints16 = __m512i;
MARU_INLINE Ints16 round_to_ints(F32x16 x) { return _mm512_cvtps_epi32(x.v); }
MARU_INLINE F32x16 to_f32(Ints16 q) { return {_mm512_cvtepi32_ps(q)}; }
MARU_INLINE int32_t sum(Ints16 q) { return _mm512_reduce_add_epi32(q); }
MARU_INLINE void store_int8(Ints16 q, int8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(q));
}
MARU_INLINE Ints16 load_int8(const int8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
MARU_INLINE F32x16 magnitude(F32x16 x) { return {_mm512_abs_ps(x.v)}; }
MARU_INLINE uint32_t largest_bits(F32x16 a, F32x16 b) {
  const __m512i most =
      _mm512_max_epi32(_mm512_castps_si512(magnitude(a).v), _mm512_castps_si512(magnitude(b).v));
  return static_cast<uint32_t>(_mm512_reduce_max_epi32(most));
}

#include "kernels/quantize.inl.h"

#include "kernels/matmul.inl.h"
}  // namespace
}  // namespace maru::kernels::avx512
MARU_TARGET_END

namespace maru::kernels {
const MatmulTable kMatmulAvx512 = {avx512::quantize_row, avx512::matmul};
}  // namespace maru::kernels
#endif
