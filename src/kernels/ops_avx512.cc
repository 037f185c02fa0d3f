// kernels/ops_avx512.cc - OpsTable with AVX-512. Body: kernels/ops.inl.h.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/kernel_table.h"
#include "kernels/kv_block.h"
#include "kernels/tables.h"
#include "kernels/target.h"

#if defined(__x86_64__)
#include <immintrin.h>

MARU_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
namespace maru::kernels::avx512 {
namespace {
#include "kernels/f32x16_avx512.inl.h"

// 6 x 4 sums are 24 of 32 registers, beside 4 of keys and a broadcast.
constexpr size_t kTileRows = 6;
constexpr size_t kTileVecs = 4;
#include "kernels/ops.inl.h"
}  // namespace
}  // namespace maru::kernels::avx512
MARU_TARGET_END

namespace maru::kernels {
const OpsTable kOpsAvx512 = avx512::kTable;
}  // namespace maru::kernels
#endif
