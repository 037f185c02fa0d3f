// kernels/tables.h - the parts of each KernelTable, one per instruction set. Only kernels/ and its
// tests include this; everybody else asks available_kernels() or find_kernels().
#pragma once
#include "kernels/kernel_table.h"

namespace maru::kernels {

extern const MatmulTable kMatmulScalar;
extern const OpsTable kOpsScalar;
extern const PlaneTable kPlanesScalar;
#if defined(__x86_64__)
extern const MatmulTable kMatmulAvx2, kMatmulAvxVnni, kMatmulAvx512, kMatmulAmx;
// With vdpbf16ps for BF16 matrices.
extern const MatmulTable kMatmulAvx512Bf16, kMatmulAmxBf16;
extern const OpsTable kOpsAvx2, kOpsAvx512;
extern const PackGroups kPackAvx2, kPackAvx512;
extern const PlaneTable kPlanesAvx2, kPlanesAvx512;
#endif

}  // namespace maru::kernels
