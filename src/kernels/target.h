// kernels/target.h - regions of code compiled for one instruction set.
//
// Everything between MARU_TARGET_BEGIN("avx2,fma") and MARU_TARGET_END may use those instructions;
// the rest of the file, and every shared header included before the region, may not. File flags
// (-mavx2) would leak: an inline function of a shared header compiled with the flag can be the copy
// that the linker keeps for an older machine.
#pragma once

#define MARU_PRAGMA(...) _Pragma(#__VA_ARGS__)
#ifdef __clang__
#define MARU_TARGET_BEGIN(isa) \
  MARU_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define MARU_TARGET_END MARU_PRAGMA(clang attribute pop)
#else
#define MARU_TARGET_BEGIN(isa)  \
  MARU_PRAGMA(GCC push_options) \
  MARU_PRAGMA(GCC target(isa))
#define MARU_TARGET_END MARU_PRAGMA(GCC pop_options)
#endif
#define MARU_NOINLINE __attribute__((noinline))
#define MARU_INLINE inline __attribute__((always_inline))
#define MARU_INLINE_LAMBDA __attribute__((always_inline))
// Before a loop of few, constant turns whose arrays are registers.
#ifdef __clang__
#define MARU_UNROLL MARU_PRAGMA(unroll)
#else
#define MARU_UNROLL MARU_PRAGMA(GCC unroll 16)
#endif
