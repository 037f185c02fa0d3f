// kernels/quantize.inl.h - the body of quantize_row, written once. Included by matmul_<isa>.cc
// inside its namespace and target region, after F32x16 (kernels/f32x16_<isa>.inl.h) and
//
//   Ints16            16 int32
//   round_to_ints     nearest, ties to even, of 16 floats
//   to_f32, sum       of Ints16
//   load_int8, store_int8  16 bytes to and from Ints16
//   magnitude         |x| of 16 floats
//   largest_bits      the largest |x| of two vectors, compared as the integers of their bits
//
// Every step is that of kernels/matmul_scalar.cc in the same order.

// Quantizes 32 values; false where they count as zeros or are not finite.
MARU_INLINE bool quantize_run(F32x16 x0, F32x16 x1, ActivationBlock& block, Ints16* q) {
  const uint32_t max_bits = largest_bits(x0, x1);
  const auto max = std::bit_cast<float>(max_bits);
  if (max_bits >= 0x7F800000u || max < kActivationTiny) {
    std::memset(&block, 0, sizeof block);
    if (max_bits >= 0x7F800000u) block.scale = std::bit_cast<float>(0x7FC00000u);
    return false;
  }
  const F32x16 inverse = F32x16::all(127.0f / max);
  q[0] = round_to_ints(x0 * inverse);
  q[1] = round_to_ints(x1 * inverse);
  store_int8(q[0], block.q);
  store_int8(q[1], block.q + 16);
  const int32_t first = sum(q[0]), last = sum(q[1]), both = first + last;
  block.scale = max / 127.0f;
  block.sum = static_cast<float>(both);
  block.minus_8_sum = -8 * both;
  block.minus_16_sum = -16 * both;
  block.minus_128_sum = -128 * both;
  block.minus_32_half_sums[0] = -32 * first;
  block.minus_32_half_sums[1] = -32 * last;
  block.unused = 0;
  return true;
}

MARU_INLINE F32x16 rest_of(F32x16 x, Ints16 q, F32x16 scale) {
  return fma(F32x16::all(0.0f) - to_f32(q), scale, x);
}

void quantize_int8(const float* x, size_t n, std::byte* out) {
  const size_t n_blocks = n / kActivationBlock;
  auto* header = reinterpret_cast<ActivationHeader*>(out);
  auto* first = reinterpret_cast<ActivationBlock*>(out + sizeof(ActivationHeader));
  std::memset(header, 0, sizeof *header);
  header->n_planes = 1;
  F32x16 magnitudes = F32x16::all(0.0f), missed = magnitudes;
  for (size_t b = 0; b < n_blocks; ++b) {
    const F32x16 x0 = F32x16::load(x + 32 * b), x1 = F32x16::load(x + 32 * b + 16);
    Ints16 q[2] = {};
    quantize_run(x0, x1, first[b], q);
    const F32x16 scale = F32x16::all(first[b].scale);
    const F32x16 rest0 = rest_of(x0, q[0], scale), rest1 = rest_of(x1, q[1], scale);
    magnitudes = magnitudes + magnitude(x0);
    magnitudes = magnitudes + magnitude(x1);
    missed = fma(rest0, rest0, missed);
    missed = fma(rest1, rest1, missed);
  }
  const auto count = static_cast<float>(n);
  const F32x16 cut = F32x16::all(kOutlier * (magnitudes.sum() / count));
  F32x16 ordinary = F32x16::all(0.0f);
  for (size_t i = 0; i < n; i += 16) {
    ordinary = ordinary + min(magnitude(F32x16::load(x + i)), cut);
  }
  const float mean = ordinary.sum() / count;
  if (!(missed.sum() > kResidualThreshold * count * (mean * mean))) return;
  header->n_planes = 2;
  for (size_t b = 0; b < n_blocks; ++b) {
    const F32x16 x0 = F32x16::load(x + 32 * b), x1 = F32x16::load(x + 32 * b + 16);
    const F32x16 scale = F32x16::all(first[b].scale);
    const F32x16 rest0 = rest_of(x0, load_int8(first[b].q), scale);
    const F32x16 rest1 = rest_of(x1, load_int8(first[b].q + 16), scale);
    Ints16 q[2];
    quantize_run(rest0, rest1, first[n_blocks + b], q);
  }
}

// tensor::f32_to_bf16, written so that it becomes vectors.
void round_to_bf16(const float* x, size_t n, std::byte* out) {
  for (size_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;
    const uint32_t nan = bits >> 16 | 0x40u;
    const auto half = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
    std::memcpy(out + i * sizeof half, &half, sizeof half);
  }
}

void quantize_row(Activation activation, const float* x, size_t n, std::byte* out) {
  if (activation == Activation::kInt8) return quantize_int8(x, n, out);
  const bool is_bf16 = activation == Activation::kBf16;
  const size_t n_bytes = n * (is_bf16 ? sizeof(uint16_t) : sizeof(float));
  if (is_bf16) {
    round_to_bf16(x, n, out);
  } else {
    std::memcpy(out, x, n_bytes);
  }
  std::memset(out + n_bytes, 0, activation_row_bytes(activation, n) - n_bytes);
}
