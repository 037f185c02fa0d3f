// kernels/pack_avx2.cc - packing with AVX2: a line is two registers. Body: kernels/pack.inl.h.
#include "kernels/packed_layout.h"
#include "kernels/planes.h"
#include "kernels/tables.h"
#include "kernels/target.h"

#if defined(__x86_64__)
#include <cstring>
#include <utility>

#include "tensor/half.h"

MARU_TARGET_BEGIN("avx2,fma,f16c")
namespace maru::kernels::avx2 {
namespace {
#include "kernels/pack.inl.h"
#include "kernels/planes.inl.h"
}  // namespace
}  // namespace maru::kernels::avx2
MARU_TARGET_END

namespace maru::kernels {
const PackGroups kPackAvx2 = avx2::pack_groups;
const PlaneTable kPlanesAvx2 = {avx2::split_planes, avx2::plane_rests};
}  // namespace maru::kernels
#endif
