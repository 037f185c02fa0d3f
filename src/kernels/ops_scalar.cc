// kernels/ops_scalar.cc - OpsTable in plain C++, for any machine. Body: kernels/ops.inl.h.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/kernel_table.h"
#include "kernels/kv_block.h"
#include "kernels/tables.h"
#include "kernels/target.h"
#include "tensor/half.h"

namespace maru::kernels {
namespace scalar {
namespace {
#include "kernels/f32x16_scalar.inl.h"

constexpr size_t kTileRows = 2;
constexpr size_t kTileVecs = 1;
#include "kernels/ops.inl.h"
}  // namespace
}  // namespace scalar

const OpsTable kOpsScalar = scalar::kTable;
}  // namespace maru::kernels
