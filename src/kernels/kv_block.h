// kernels/kv_block.h - how one KV head's keys and values of 64 consecutive positions lie in memory.
//
// Written by model/ (one token at a time or many), read by attention_span. Storage is f16,
// arithmetic float32.
//   K [d_k][64]: one dimension of all 64 tokens is 128 bytes, so scores of 16 keys fill a vector
//   V [64][v_stride]: one token's values, padded to 16 with zeros
// Memory starts as zeros and only ever holds finite values: a masked key has weight 0 and is
// multiplied in.
#pragma once
#include <cstddef>
#include <cstdint>

namespace maru::kernels {

inline constexpr size_t kKvTokens = 64;
// Four blocks, from a multiple of four, are a span: their scores share one maximum and one sum.
inline constexpr size_t kSpanBlocks = 4;
inline constexpr size_t kSpanTokens = kSpanBlocks * kKvTokens;

struct KvShape {
  size_t d_k = 0;
  size_t d_v = 0;

  size_t v_stride() const { return (d_v + 15) / 16 * 16; }
  size_t k_values() const { return d_k * kKvTokens; }
  size_t v_values() const { return v_stride() * kKvTokens; }
};

// One head's blocks of a span; where no query sees a key of a block it may be null.
struct KvSpan {
  const uint16_t* k[kSpanBlocks] = {};
  const uint16_t* v[kSpanBlocks] = {};
  const uint16_t* next = nullptr;  // keys that will be read after this span, or null
};

}  // namespace maru::kernels
