// kernels/pack_avx512.cc - packing with AVX-512: a line is one register. Body: kernels/pack.inl.h.
#include "kernels/packed_layout.h"
#include "kernels/planes.h"
#include "kernels/tables.h"
#include "kernels/target.h"

#if defined(__x86_64__)
#include <cstring>
#include <utility>

#include "tensor/half.h"

MARU_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")
namespace maru::kernels::avx512 {
namespace {
#include "kernels/pack.inl.h"
#include "kernels/planes.inl.h"
}  // namespace
}  // namespace maru::kernels::avx512
MARU_TARGET_END

namespace maru::kernels {
const PackGroups kPackAvx512 = avx512::pack_groups;
const PlaneTable kPlanesAvx512 = {avx512::split_planes, avx512::plane_rests};
}  // namespace maru::kernels
#endif
