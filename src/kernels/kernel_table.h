// kernels/kernel_table.h - one table of arithmetic functions per instruction set, on raw pointers.
//
// app picks a table once (MARU_ISA forces one) and passes it down; tests pass each in turn. Kernels
// allocate nothing, start no threads and report no errors: the caller has checked every shape.
//
// The rule of all of them (docs/formats/numerics.md): the result for one token never depends on how
// many other tokens are in the call, on the row range, or on who else works on the rest.
// Threads: any, on disjoint outputs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/kv_block.h"
#include "tensor/dtype.h"

namespace maru::kernels {

// How a matrix's codes lie: together, or in two planes (kernels/planes.h), of which a product may
// take only the high one.
enum class Plane : uint8_t { kWhole, kHigh, kBoth };

// A weight matrix repacked for the kernels ("R16"): 16 output rows interleaved make one group.
// Rows are padded to 16 with zeros. Shapes: the matrix is [n_rows, n_cols], y = W x.
struct PackedMatrix {
  tensor::DType dtype;              // of the file; packing is exact and never requantizes
  size_t n_rows = 0;                // outputs
  size_t n_cols = 0;                // inputs; a multiple of the dtype's block
  size_t group_bytes = 0;           // bytes of 16 rows
  const std::byte* data = nullptr;  // 64-byte aligned, ceil(n_rows / 16) groups
  Plane plane = Plane::kWhole;
  // Of kBoth, whose data is the high plane.
  const std::byte* low = nullptr;
  size_t low_group_bytes = 0;

  size_t n_groups() const { return (n_rows + 15) / 16; }
  size_t n_bytes() const { return (group_bytes + low_group_bytes) * n_groups(); }
};

// How a matrix wants its inputs.
enum class Activation : uint8_t {
  kF32,   // plain floats: for F32 and F16 weights
  kInt8,  // quantized per block: for quantized weights; a row may carry a second, residual plane
  kBf16,  // rounded to bf16: for BF16 weights
};
inline constexpr size_t kActivationKinds = 3;

struct PackedShape {
  size_t group_bytes;
  Activation activation;
};

// Shape of the packed form, or group_bytes 0 where this dtype has no kernel (n_cols not a multiple
// of its block, or the type runs by rows in float32).
PackedShape packed_shape(tensor::DType dtype, size_t n_cols);

// Repacks groups [group_begin, group_end) of a row-major GGUF tensor, plainly: the reference for
// KernelTable::pack_groups. Threads: disjoint ranges.
// Shapes: rows is the whole tensor, n_rows rows of consecutive blocks; out is where the packed
// matrix begins.
void pack_groups(const PackedMatrix& shape, const std::byte* rows, size_t group_begin,
                 size_t group_end, std::byte* out);

// Bytes of one quantized (or copied) activation row of n_cols values, a multiple of 64.
size_t activation_row_bytes(Activation activation, size_t n_cols);

// Matrix products. Implemented in kernels/matmul_<isa>.cc; all tables give the same bytes: a row's
// sum runs over its blocks in order, in the row's own lane, with fused multiply-adds.
struct MatmulTable {
  // x [n] -> out, one row of activation_row_bytes(activation, n). kInt8 decides by the row's own
  // values whether a second int8 plane over the residual is needed.
  void (*quantize_row)(Activation activation, const float* x, size_t n, std::byte* out);

  // y[t * y_stride + r] = dot(W[r], x[t]) for r in groups [group_begin, group_end), t < n_tokens.
  // Shapes: acts is n_tokens rows, act_stride bytes apart; y [n_tokens, y_stride], rows beyond
  // n_rows are not written.
  void (*matmul)(const PackedMatrix& w, size_t group_begin, size_t group_end, const std::byte* acts,
                 size_t act_stride, size_t n_tokens, float* y, size_t y_stride);
};

// Scores of attention are exponents of 2: what a model gives as exponents of e is multiplied by
// this, best as part of the queries' scale.
inline constexpr float kScoreUnit = 1.44269504f;  // log2 e

// Rows of logits are looked at in blocks of this many.
inline constexpr size_t kLogitBlock = 64;

// Which keys of a span one query may see: [first, last), empty where first == last.
struct KeyRange {
  uint16_t first = 0;
  uint16_t last = 0;
};

// What all columns of a head's state share in one token's step.
struct RecurrenceStep {
  const float* q;
  const float* k;
  size_t d_k;
  float decay;
  float beta;
  bool delta;  // u is what v adds to what the state holds for k (the delta rule)
};

// Everything else of a layer. Implemented in kernels/ops_<isa>.cc from one body
// (kernels/ops.inl.h): all tables give the same bytes.
struct OpsTable {
  // y = x / sqrt(mean(x^2) + eps) * w. Shapes: x, w, y [n]; y may be x.
  void (*rms_norm)(const float* x, const float* w, float* y, size_t n, float eps);

  // y = (x - mean) / sqrt(variance + eps) * w + b. Shapes: x, w, y [n]; b [n] or null.
  void (*layer_norm)(const float* x, const float* w, const float* b, float* y, size_t n, float eps);

  // y = fma(x, scale, y). Shapes: x, y [n].
  void (*add_scaled)(const float* x, float scale, float* y, size_t n);

  // y = silu(gate) * up; gelu_mul: the tanh form. Shapes: all [n]; y may be gate or up.
  void (*silu_mul)(const float* gate, const float* up, float* y, size_t n);
  void (*gelu_mul)(const float* gate, const float* up, float* y, size_t n);
  // y = gelu(x) by the error function. Shapes: x, y [n]; y may be x.
  void (*gelu_erf)(const float* x, float* y, size_t n);

  // y = sigmoid(gate) * x. Shapes: all [n]; y may be gate or x.
  void (*sigmoid_mul)(const float* gate, const float* x, float* y, size_t n);

  // Rotates the first n_rot values of one head in place. interleaved: pairs (2i, 2i+1), else
  // (i, i + n_rot/2). Shapes: x [d_head]; cos_sin [n_rot]: n_rot/2 cosines, then n_rot/2 sines.
  void (*rope)(float* x, size_t n_rot, const float* cos_sin, bool interleaved);

  // Nearest f16, ties to even; what is beyond the largest finite value becomes that value.
  void (*to_f16)(const float* x, uint16_t* y, size_t n);

  // Attention of n_q queries over one span of cached tokens: one partial per query, that is its
  // largest score, the sum of 2^(score - max) and the values weighted by that. The sums run over
  // the keys in order. Layout of a KV block: kernels/kv_block.h.
  // Shapes: q [n_q, shape.d_k], scaled, kScoreUnit included; keys [n_q]; out [n_q,
  // shape.v_stride()]; max, sum [n_q]. softcap: 0 = none, else scores become softcap *
  // tanh(score / softcap); in the unit of the scores. An empty range gives max -inf, sum 0, out 0.
  void (*attention_span)(const float* q, const KeyRange* keys, size_t n_q, const KvShape& shape,
                         const KvSpan& span, float softcap, float* out, float* max, float* sum);

  // Folds a partial into the running result of the spans before it. Shapes: as above.
  void (*attention_merge)(const float* part_out, const float* part_max, const float* part_sum,
                          size_t n_q, size_t v_stride, float* out, float* max, float* sum);

  // One token of a linear recurrence with a matrix as its memory; s[d] is row d of n columns:
  //   s = decay s;  u = beta (v - sum of k[d] s[d]), or beta v;  s[d] += k[d] u;  y = sum of q[d]
  //   s[d]. Sums run over d in order. Columns do not see each other, so any split of them gives the
  // same bytes.
  // Shapes: q, k [step.d_k]; v, y [n], y may be v; state d_k rows of n, `stride` apart.
  void (*recur)(const RecurrenceStep& step, const float* v, float* state, size_t stride, size_t n,
                float* y);

  // The largest of each block of kLogitBlock, the last of which may be shorter. NaN counts as -inf.
  // Shapes: x [n]; maxima [ceil(n / kLogitBlock)].
  void (*block_max)(const float* x, size_t n, float* maxima);

  // What none of a group's 16 products exceeds, from those of the high plane (kernels/planes.h):
  // the largest of sums + rests * reach, infinity where one of them is NaN; -inf stays out. Shapes:
  // sums, rests [n_groups, 16]; uppers [n_groups].
  void (*upper_bounds)(const float* sums, const float* rests, float reach, size_t n_groups,
                       float* uppers);

  // y = e^((x - best) * scale), 0 for NaN. Shapes: x, y [n]; y may be x. Requires: x <= best, scale
  // >= 0.
  void (*softmax_weights)(const float* x, size_t n, float best, float scale, float* y);
  // The sums of those weights over blocks of kLogitBlock. Shapes: sums [ceil(n / kLogitBlock)].
  void (*softmax_sums)(const float* x, size_t n, float best, float scale, float* sums);
};

using PackGroups = void (*)(const PackedMatrix& shape, const std::byte* rows, size_t group_begin,
                            size_t group_end, std::byte* out);

// Q8_0 in two planes: kernels/planes.h says what lies where.
struct PlaneTable {
  // Shapes: group is one packed group of n_cols columns; high, low: one group of each plane.
  void (*split)(size_t n_cols, const std::byte* group, std::byte* high, std::byte* low);
  // For the bound of each row of the group. Shapes: weights [n_cols], each 1 to kColumnWeightMax;
  // rests [16].
  void (*rests)(size_t n_cols, const std::byte* high, const std::byte* low, const uint8_t* weights,
                float* rests);
};

struct KernelTable {
  // "scalar", "avx2", "avxvnni" (AVX2 with VNNI products), "avx512", "amx" (AVX-512 with AMX
  // products).
  std::string_view isa;
  MatmulTable matmul;
  OpsTable ops;
  PackGroups pack_groups;  // the same bytes as the function of this name
  PlaneTable planes;       // the same bytes as kPlanesScalar
};

// All tables that this machine can run, from the scalar one to the best.
std::span<const KernelTable* const> available_kernels();
// The best one for "", or the one named; nullptr where it is unknown or this machine cannot run it.
const KernelTable* find_kernels(std::string_view isa);

}  // namespace maru::kernels
