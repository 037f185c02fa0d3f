// kernels/ops_avx2.cc - OpsTable with AVX2, FMA and F16C. Body: kernels/ops.inl.h.
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

MARU_TARGET_BEGIN("avx2,fma,f16c")
namespace maru::kernels::avx2 {
namespace {
#include "kernels/f32x16_avx2.inl.h"

// 4 x 1 sums are 8 of 16 registers, beside 2 of keys and a broadcast.
constexpr size_t kTileRows = 4;
constexpr size_t kTileVecs = 1;
#include "kernels/ops.inl.h"
}  // namespace
}  // namespace maru::kernels::avx2
MARU_TARGET_END

namespace maru::kernels {
const OpsTable kOpsAvx2 = avx2::kTable;
}  // namespace maru::kernels
#endif
