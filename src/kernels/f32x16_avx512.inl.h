// kernels/f32x16_avx512.inl.h - the vector vocabulary of the ops with AVX-512: one register.
// Meaning of each operation: kernels/f32x16_scalar.inl.h. Included inside a target region.
struct F32x16 {
  __m512 v;

  static MARU_INLINE F32x16 all(float x) { return {_mm512_set1_ps(x)}; }
  static MARU_INLINE F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static MARU_INLINE __mmask16 first_lanes(size_t n) {
    return static_cast<__mmask16>((uint32_t{1} << n) - 1);
  }
  static MARU_INLINE F32x16 load_first(const float* p, size_t n) {
    return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
  }
  static MARU_INLINE F32x16 load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  MARU_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  MARU_INLINE void store_first(float* p, size_t n) const {
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
  }
  MARU_INLINE void store_f16(uint16_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  friend MARU_INLINE F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend MARU_INLINE F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend MARU_INLINE F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend MARU_INLINE F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
  friend MARU_INLINE F32x16 max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
  friend MARU_INLINE F32x16 min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
  friend MARU_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
  }
  friend MARU_INLINE F32x16 where_at_least(F32x16 x, F32x16 bound, F32x16 value) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, bound.v, _CMP_GE_OQ), value.v)};
  }
  friend MARU_INLINE F32x16 pow2(F32x16 t) {
    const __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(t.v), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(shifted, _mm512_set1_epi32(0x3f800000)))};
  }
  friend MARU_INLINE F32x16 times_pow2(F32x16 p, F32x16 t) {
    const __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(t.v), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p.v), shifted))};
  }
  MARU_INLINE float sum() const {
    const __m256 low = _mm512_castps512_ps256(v);
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
    const __m256 s8 = _mm256_add_ps(low, high);
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
  }
  MARU_INLINE float largest() const { return _mm512_reduce_max_ps(v); }
};
