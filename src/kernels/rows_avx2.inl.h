// kernels/rows_avx2.inl.h - the vocabulary of kernels/formats.inl.h and kernels/matmul.inl.h with
// AVX2, FMA and F16C, but for the products of bytes (dot, wide_start, wide_dot): a register is one
// value of each of 8 rows. Included inside a namespace and target region.
constexpr size_t kLanes = 8;

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
MARU_INLINE Bytes four(const int8_t* q) { return set_int(q); }
MARU_INLINE Bytes held(Bytes v) {
  asm("" : "+x"(v));
  return v;
}
MARU_INLINE void prefetch(const uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}

MARU_INLINE Floats held(Floats v) {
  asm("" : "+x"(v));
  return v;
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
