// kernels/pack.cc - GGUF rows into the layout of packed_layout.h and nothing else: every bit of the
// file is kept. Called while a model loads, by any thread on its own groups.
#include <array>
#include <cstring>

#include "base/check.h"
#include "kernels/activation.h"
#include "kernels/packed_layout.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

namespace maru::kernels {
namespace {

using tensor::DType;

// Where the float16 factors of a block lie in the file.
size_t deltas_at(DType dtype) {
  switch (dtype) {
    case DType::kQ2_K:
      return 80;
    case DType::kQ3_K:
      return 108;
    case DType::kQ6_K:
      return 208;
    default:
      return 0;
  }
}

// 32 codes: code 4 l + i is byte i of dword l.
using Codes = std::array<uint32_t, 8>;

// `n_bits` bits at `shift` of each of the 4 bytes at `from`.
uint32_t fields(const uint8_t* from, size_t shift, size_t n_bits) {
  return tensor::load<uint32_t>(from) >> shift & ((1u << n_bits) - 1) * 0x01010101u;
}

// Bits 4 l to 4 l + 3 of a word, one to a byte, for l < 8.
uint32_t spread_bits(uint32_t bits, size_t l) {
  const uint32_t four = bits >> (4 * l) & 15;
  return (four | four << 7 | four << 14 | four << 21) & 0x01010101u;
}

// Nibbles of 16 bytes (low: codes 0-15), with the fifth bits of Q5_0 and Q5_1.
Codes nibble_codes(const uint8_t* nibbles, uint32_t fifth_bits) {
  Codes codes;
  for (size_t l = 0; l < 8; ++l) {
    codes[l] = fields(nibbles + 4 * (l % 4), 4 * (l / 4), 4) | spread_bits(fifth_bits, l) << 4;
  }
  return codes;
}

// The codes of run `sub` of a block.
Codes run_codes(DType dtype, const uint8_t* block, size_t sub) {
  const size_t half = sub / 4, quarter = sub % 4;  // of 256 values
  Codes codes{};
  switch (dtype) {
    case DType::kQ4_0:
    case DType::kIQ4_NL:
      return nibble_codes(block + 2, 0);
    case DType::kQ4_1:
      return nibble_codes(block + 4, 0);
    case DType::kQ5_0:
      return nibble_codes(block + 6, tensor::load<uint32_t>(block + 2));
    case DType::kQ5_1:
      return nibble_codes(block + 8, tensor::load<uint32_t>(block + 4));
    case DType::kIQ4_XS:
      return nibble_codes(block + 8 + 16 * sub, 0);
    case DType::kMXFP4:
      return nibble_codes(block + 1, 0);
    case DType::kQ8_0:
      for (size_t l = 0; l < 8; ++l) codes[l] = fields(block + 2 + 4 * l, 0, 8) ^ 0x80808080u;
      return codes;
    case DType::kQ2_K:
      for (size_t l = 0; l < 8; ++l) {
        codes[l] = fields(block + 16 + 32 * half + 4 * l, 2 * quarter, 2);
      }
      return codes;
    case DType::kQ3_K:
      for (size_t l = 0; l < 8; ++l) {
        codes[l] = fields(block + 32 + 32 * half + 4 * l, 2 * quarter, 2) |
                   fields(block + 4 * l, sub, 1) << 2;
      }
      return codes;
    case DType::kQ4_K:
      for (size_t l = 0; l < 8; ++l) {
        codes[l] = fields(block + 16 + sub / 2 * 32 + 4 * l, 4 * (sub % 2), 4);
      }
      return codes;
    case DType::kQ5_K:
      for (size_t l = 0; l < 8; ++l) {
        codes[l] = fields(block + 48 + sub / 2 * 32 + 4 * l, 4 * (sub % 2), 4) |
                   fields(block + 16 + 4 * l, sub, 1) << 4;
      }
      return codes;
    case DType::kQ6_K:
      for (size_t l = 0; l < 8; ++l) {
        codes[l] = fields(block + 64 * half + 32 * (quarter % 2) + 4 * l, 4 * (quarter / 2), 4) |
                   fields(block + 128 + 32 * half + 4 * l, 2 * quarter, 2) << 4;
      }
      return codes;
    default:
      CHECK(false);
      return codes;
  }
}

// The byte of scale line j (packed_layout.h) for one block.
uint8_t scale_byte(DType dtype, const uint8_t* block, size_t j) {
  switch (dtype) {
    case DType::kQ2_K:
      return block[j];
    case DType::kQ3_K:
      return static_cast<uint8_t>(tensor::scale_q3k(block + 96, j));
    case DType::kQ4_K:
    case DType::kQ5_K: {
      const tensor::ScaleMin s = tensor::scale_min_k4(block + 4, j % 8);
      return j < 8 ? s.scale : s.min;
    }
    case DType::kQ6_K:
      return block[192 + j];
    case DType::kIQ4_XS:
      return static_cast<uint8_t>(
          tensor::scale_iq4xs(tensor::load<uint16_t>(block + 2), block + 4, j));
    default:
      CHECK(false);
      return 0;
  }
}

// Row r of block b, or nullptr below the last row.
class Rows {
 public:
  Rows(const PackedMatrix& shape, const std::byte* rows, size_t group)
      : first_row_(group * kGroupRows),
        n_rows_(shape.n_rows),
        block_bytes_(tensor::dtype_info(shape.dtype).block_bytes),
        row_bytes_(shape.n_cols / tensor::dtype_info(shape.dtype).block_elements * block_bytes_),
        bytes_(reinterpret_cast<const uint8_t*>(rows)) {}

  const uint8_t* block(size_t r, size_t b) const {
    if (first_row_ + r >= n_rows_) return nullptr;
    return bytes_ + (first_row_ + r) * row_bytes_ + b * block_bytes_;
  }

 private:
  size_t first_row_, n_rows_, block_bytes_, row_bytes_;
  const uint8_t* bytes_;
};

void store_dword(uint8_t* lines, size_t i, size_t r, uint32_t dword) {
  std::memcpy(lines + i * kLineBytes + 4 * r, &dword, sizeof dword);
}

// Row r's bits [shift, shift + n_bits) of the codes of one run, as lines (packed_layout.h).
void store_bits(const Codes& codes, size_t shift, size_t n_bits, size_t r, uint8_t* lines) {
  const uint32_t mask = ((1u << n_bits) - 1) * 0x01010101u;
  const size_t n_lines = n_bits, per_line = 8 / n_bits;
  for (size_t line = 0; line < n_lines; ++line) {
    uint32_t dword = 0;
    for (size_t m = 0; m < per_line; ++m) {
      // Nibbles pair code l with code l + 4; all else is in order.
      const size_t l = n_bits == 4 ? line + 4 * m : per_line * line + m;
      dword |= (codes[l] >> shift & mask) << (n_bits * m);
    }
    store_dword(lines, line, r, dword);
  }
}

void pack_quantized_block(const PackedLayout& layout, const uint8_t* from, size_t r, uint8_t* low,
                          uint8_t* high, uint8_t* scales, uint8_t* deltas) {
  for (size_t sub = 0; sub < layout.block / kRun; ++sub) {
    const Codes codes = run_codes(layout.dtype, from, sub);
    store_bits(codes, 0, layout.low_bits, r, low + sub * layout.low_bits * kLineBytes);
    if (layout.high_bits == 0) continue;
    store_bits(codes, layout.low_bits, layout.high_bits, r,
               high + sub * layout.high_bits * kLineBytes);
  }
  for (size_t j = 0; j < layout.scales / kGroupRows; ++j) {
    scales[j * kGroupRows + r] = scale_byte(layout.dtype, from, j);
  }
  if (layout.dtype == DType::kMXFP4) {
    deltas[r] = from[0];
    return;
  }
  for (size_t j = 0; j < layout.deltas / 32; ++j) {
    std::memcpy(deltas + 32 * j + 2 * r, from + deltas_at(layout.dtype) + 2 * j, 2);
  }
}

// F32 and F16 lines hold one column, BF16 lines two.
void pack_float_row(DType dtype, const uint8_t* from, size_t n_cols, size_t r, uint8_t* out) {
  if (dtype == DType::kF32) {
    for (size_t k = 0; k < n_cols; ++k) std::memcpy(out + 64 * k + 4 * r, from + 4 * k, 4);
  } else if (dtype == DType::kF16) {
    for (size_t k = 0; k < n_cols; ++k) std::memcpy(out + 32 * k + 2 * r, from + 2 * k, 2);
  } else {
    for (size_t k = 0; k < n_cols; ++k) {
      std::memcpy(out + 64 * (k / 2) + 4 * r + 2 * (k % 2), from + 2 * k, 2);
    }
  }
}

}  // namespace

PackedShape packed_shape(DType dtype, size_t n_cols) {
  const PackedLayout* layout = packed_layout(dtype);
  if (layout == nullptr || n_cols == 0) return {0, Activation::kF32};
  if (n_cols % tensor::dtype_info(dtype).block_elements != 0) return {0, Activation::kF32};
  return {packed_group_bytes(*layout, n_cols), layout->activation};
}

size_t activation_row_bytes(Activation activation, size_t n_cols) {
  if (activation == Activation::kF32) return whole_lines(n_cols * sizeof(float));
  if (activation == Activation::kBf16) return whole_lines(n_cols * sizeof(uint16_t));
  return sizeof(ActivationHeader) + 2 * sizeof(ActivationBlock) * (n_cols / kActivationBlock);
}

void pack_groups(const PackedMatrix& shape, const std::byte* rows, size_t group_begin,
                 size_t group_end, std::byte* out) {
  const PackedLayout* layout = packed_layout(shape.dtype);
  CHECK(layout != nullptr && group_end <= shape.n_groups());
  CHECK(shape.group_bytes == packed_group_bytes(*layout, shape.n_cols));
  const PackedGroup at = packed_group(*layout, shape.n_cols);
  for (size_t group = group_begin; group < group_end; ++group) {
    auto* base = reinterpret_cast<uint8_t*>(out + group * shape.group_bytes);
    std::memset(base, 0, shape.group_bytes);
    const Rows source(shape, rows, group);
    for (size_t r = 0; r < kGroupRows && source.block(r, 0) != nullptr; ++r) {
      if (layout->activation != Activation::kInt8) {
        pack_float_row(shape.dtype, source.block(r, 0), shape.n_cols, r, base);
        continue;
      }
      for (size_t b = 0; b < shape.n_cols / layout->block; ++b) {
        const PackedBlock to = packed_block(*layout, at, b);
        pack_quantized_block(*layout, source.block(r, b), r, base + to.low, base + to.high,
                             base + to.scales, base + to.deltas);
      }
    }
  }
}

}  // namespace maru::kernels
