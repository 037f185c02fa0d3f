// kernels/matmul_avx512.cc - MatmulTable with AVX-512 VNNI: 16 rows are one register. Bodies:
// kernels/matmul.inl.h and kernels/quantize.inl.h.
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
#include "kernels/rows_avx512.inl.h"

// 12 sums and 12 dots are 24 of 32 registers; with two dots per column 8, 8 and 8. Products and fma
// share two pipes, so that at most 64 / (64 + 24) of the int8 peak is there for Q4_K.
constexpr int kTileGroups = 2;
constexpr int kTileColumns = 6;
constexpr int kHalvesTileGroups = 2;
constexpr int kHalvesTileColumns = 4;
// 2 groups x 3 columns x 4 sums are 24 registers, beside 2 of weights and a value.
constexpr int kFloatTileGroups = 2;
constexpr int kFloatTileColumns = 3;
constexpr int kFloatGroupColumns = 4;

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

#include "kernels/formats.inl.h"
#include "kernels/matmul.inl.h"
}  // namespace
}  // namespace maru::kernels::avx512
MARU_TARGET_END

namespace maru::kernels {
const MatmulTable kMatmulAvx512 = {avx512::quantize_row, avx512::matmul};
}  // namespace maru::kernels
#endif
