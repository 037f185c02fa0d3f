// kernels/f32x16_scalar.inl.h - the vector vocabulary of the ops in plain C++: 16 lanes of float32.
//
// This one is the specification: f32x16_avx2 and f32x16_avx512 give the same bytes, operation by
// operation. Included inside a namespace of kernels/ops_scalar.cc.
struct F32x16 {
  float lane[16];

  static F32x16 all(float x) {
    F32x16 r;
    for (float& v : r.lane) v = x;
    return r;
  }
  static F32x16 load(const float* p) {
    F32x16 r;
    for (size_t i = 0; i < 16; ++i) r.lane[i] = p[i];
    return r;
  }
  // The first n lanes; the others are 0.
  static F32x16 load_first(const float* p, size_t n) {
    F32x16 r = all(0.0f);
    for (size_t i = 0; i < n; ++i) r.lane[i] = p[i];
    return r;
  }
  static F32x16 load_f16(const uint16_t* p) {
    F32x16 r;
    for (size_t i = 0; i < 16; ++i) r.lane[i] = tensor::f16_to_f32(p[i]);
    return r;
  }
  void store(float* p) const {
    for (size_t i = 0; i < 16; ++i) p[i] = lane[i];
  }
  void store_first(float* p, size_t n) const {
    for (size_t i = 0; i < n; ++i) p[i] = lane[i];
  }
  void store_f16(uint16_t* p) const {
    for (size_t i = 0; i < 16; ++i) p[i] = tensor::f32_to_f16(lane[i]);
  }

  template <class F>
  static F32x16 zip(const F32x16& a, const F32x16& b, F f) {
    F32x16 r;
    for (size_t i = 0; i < 16; ++i) r.lane[i] = f(a.lane[i], b.lane[i]);
    return r;
  }
  friend F32x16 operator+(const F32x16& a, const F32x16& b) {
    return zip(a, b, [](float x, float y) { return x + y; });
  }
  friend F32x16 operator-(const F32x16& a, const F32x16& b) {
    return zip(a, b, [](float x, float y) { return x - y; });
  }
  friend F32x16 operator*(const F32x16& a, const F32x16& b) {
    return zip(a, b, [](float x, float y) { return x * y; });
  }
  friend F32x16 operator/(const F32x16& a, const F32x16& b) {
    return zip(a, b, [](float x, float y) { return x / y; });
  }
  // As the x86 instructions: the second operand where the comparison fails (NaN too).
  friend F32x16 max(const F32x16& a, const F32x16& b) {
    return zip(a, b, [](float x, float y) { return x > y ? x : y; });
  }
  friend F32x16 min(const F32x16& a, const F32x16& b) {
    return zip(a, b, [](float x, float y) { return x < y ? x : y; });
  }
  // a * b + c, rounded once.
  friend F32x16 fma(const F32x16& a, const F32x16& b, const F32x16& c) {
    F32x16 r;
    for (size_t i = 0; i < 16; ++i) r.lane[i] = std::fma(a.lane[i], b.lane[i], c.lane[i]);
    return r;
  }
  // value where x >= bound, 0 elsewhere (NaN too).
  friend F32x16 where_at_least(const F32x16& x, const F32x16& bound, const F32x16& value) {
    F32x16 r;
    for (size_t i = 0; i < 16; ++i) r.lane[i] = x.lane[i] >= bound.lane[i] ? value.lane[i] : 0.0f;
    return r;
  }
  // 2^n from t = n + kRoundMagic, n an integer in [-126, 127].
  friend F32x16 pow2(const F32x16& t) {
    F32x16 r;
    for (size_t i = 0; i < 16; ++i) {
      r.lane[i] = std::bit_cast<float>((std::bit_cast<uint32_t>(t.lane[i]) << 23) + 0x3f800000u);
    }
    return r;
  }
  // p * 2^n from t as in pow2, where both p and the product are normal numbers.
  friend F32x16 times_pow2(const F32x16& p, const F32x16& t) {
    return zip(p, t, [](float x, float y) {
      return std::bit_cast<float>(std::bit_cast<uint32_t>(x) + (std::bit_cast<uint32_t>(y) << 23));
    });
  }
  // Lanes added in halves: i with i + 8, then + 4, + 2, + 1.
  float sum() const {
    float s[16];
    store(s);
    for (size_t half = 8; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) s[i] = s[i] + s[i + half];
    }
    return s[0];
  }
  float largest() const {
    float best = lane[0];
    for (const float v : lane) best = v > best ? v : best;
    return best;
  }
};
