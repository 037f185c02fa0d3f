// kernels/matmul_avxvnni.cc - MatmulTable with AVX2 and AVX-VNNI, as processors without AVX-512
// have it: the products of matmul_avx2.cc's registers of 8 rows in one instruction. Body:
// kernels/matmul.inl.h. Activations are quantized by the AVX2 table.
#include "kernels/activation.h"
#include "kernels/packed_layout.h"
#include "kernels/tables.h"
#include "kernels/target.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <array>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "base/check.h"
#include "tensor/blocks.h"

MARU_TARGET_BEGIN("avxvnni,avx2,fma,f16c")
namespace maru::kernels::avxvnni {
namespace {
#include "kernels/rows_avx2.inl.h"

// A product is one instruction, so loads of activations would bound a single group: 8 sums and 8
// dots are all 16 registers, and the sums, which each run needs once, wait on the stack. Two dots
// per column leave no room for that.
constexpr int kTileGroups = 2;
constexpr int kTileColumns = 4;
constexpr int kHalvesTileGroups = 1;
constexpr int kHalvesTileColumns = 5;
// 3 columns x 4 sums are 12 registers, beside weights and a value.
constexpr int kFloatTileGroups = 1;
constexpr int kFloatTileColumns = 3;
constexpr int kFloatGroupColumns = 3;

MARU_INLINE Ints dot(Ints sum, Bytes w, Bytes q) { return _mm256_dpbusd_avx_epi32(sum, w, q); }
MARU_INLINE Ints wide_start(const int32_t* minus_128_sum) { return set_int(minus_128_sum); }
MARU_INLINE Ints wide_dot(Ints sum, Bytes w, Bytes q) { return dot(sum, w, q); }

#include "kernels/formats.inl.h"
#include "kernels/matmul.inl.h"

void quantize_row(Activation activation, const float* x, size_t n, std::byte* out) {
  kMatmulAvx2.quantize_row(activation, x, n, out);
}
}  // namespace
}  // namespace maru::kernels::avxvnni
MARU_TARGET_END

namespace maru::kernels {
const MatmulTable kMatmulAvxVnni = {avxvnni::quantize_row, avxvnni::matmul};
}  // namespace maru::kernels
#endif
