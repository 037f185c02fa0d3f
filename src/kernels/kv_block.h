// kernels/kv_block.h - how one KV head's keys and values of 64 consecutive positions lie in memory.
//
// Written by model/ (one token at a time or many), read by attention_block. Storage is f16,
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

struct KvShape {
  size_t d_k = 0;
  size_t d_v = 0;

  size_t v_stride() const { return (d_v + 15) / 16 * 16; }
  size_t k_values() const { return d_k * kKvTokens; }
  size_t v_values() const { return v_stride() * kKvTokens; }
};

}  // namespace maru::kernels
