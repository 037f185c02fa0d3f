// kernels/rows_avx512.inl.h - the vocabulary of kernels/formats.inl.h and kernels/matmul.inl.h with
// AVX-512 VNNI: a register is one value of each of the 16 rows. Included inside a namespace and
// target region.
constexpr size_t kLanes = 16;

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
MARU_INLINE Bytes four(const int8_t* q) { return _mm512_set1_epi32(load_int(q)); }
MARU_INLINE Bytes held(Bytes v) {
  asm("" : "+v"(v));
  return v;
}
MARU_INLINE void prefetch(const uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}
MARU_INLINE Ints dot(Ints sum, Bytes w, Bytes q) { return _mm512_dpbusd_epi32(sum, w, q); }
MARU_INLINE Ints wide_start(const int32_t* minus_128_sum) { return set_int(minus_128_sum); }
MARU_INLINE Ints wide_dot(Ints sum, Bytes w, Bytes q) { return dot(sum, w, q); }

MARU_INLINE Floats held(Floats v) {
  asm("" : "+v"(v));
  return v;
}
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
