// kernels/matmul_avx512bf16.cc - the tables of AVX-512 and AMX with vdpbf16ps for BF16 matrices: a
// pair of columns of 16 rows in one instruction. Body: kernels/bf16.inl.h.
#include "kernels/activation.h"
#include "kernels/packed_layout.h"
#include "kernels/tables.h"
#include "kernels/target.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

MARU_TARGET_BEGIN("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")
namespace maru::kernels::avx512bf16 {
namespace {
#include "kernels/rows_avx512.inl.h"

// 16 sums hide the instruction's latency, two groups halve the broadcasts.
constexpr int kPairTileGroups = 2;
constexpr int kPairTileColumns = 8;

// The instruction multiplies the odd halves first, rounds after each sum and flushes subnormals.
MARU_INLINE Floats pair_dot(Floats sum, Bytes w, Bytes x) {
  return _mm512_dpbf16_ps(sum, __builtin_bit_cast(__m512bh, w), __builtin_bit_cast(__m512bh, x));
}
struct PairMode {};

#include "kernels/bf16.inl.h"
}  // namespace
}  // namespace maru::kernels::avx512bf16
MARU_TARGET_END

namespace maru::kernels {
namespace {

template <const MatmulTable& kOthers>
void matmul(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
            size_t act_stride, size_t n_tokens, float* y, size_t y_stride) {
  const auto function = w.dtype == tensor::DType::kBF16 ? avx512bf16::bf16_matmul : kOthers.matmul;
  function(w, group_begin, group_end, acts, act_stride, n_tokens, y, y_stride);
}

void quantize_row(Activation activation, const float* x, size_t n, std::byte* out) {
  kMatmulAvx512.quantize_row(activation, x, n, out);
}

}  // namespace

const MatmulTable kMatmulAvx512Bf16 = {quantize_row, matmul<kMatmulAvx512>};
const MatmulTable kMatmulAmxBf16 = {quantize_row, matmul<kMatmulAmx>};
}  // namespace maru::kernels
#endif
