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

// Where the parts of a block lie in the file.
struct FileBlock {
  size_t quants_at, quants_bytes;
  size_t high_at, high_bytes;
  size_t deltas_at;
};

FileBlock file_block(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return {2, 16, 0, 0, 0};
    case DType::kQ4_1:
      return {4, 16, 0, 0, 0};
    case DType::kQ5_0:
      return {6, 16, 2, 4, 0};
    case DType::kQ5_1:
      return {8, 16, 4, 4, 0};
    case DType::kQ8_0:
      return {2, 32, 0, 0, 0};
    case DType::kQ2_K:
      return {16, 64, 0, 0, 80};
    case DType::kQ3_K:
      return {32, 64, 0, 32, 108};
    case DType::kQ4_K:
      return {16, 128, 0, 0, 0};
    case DType::kQ5_K:
      return {48, 128, 16, 32, 0};
    case DType::kQ6_K:
      return {0, 128, 128, 64, 208};
    case DType::kIQ4_NL:
      return {2, 16, 0, 0, 0};
    case DType::kIQ4_XS:
      return {8, 128, 0, 0, 0};
    case DType::kMXFP4:
      return {1, 16, 0, 0, 0};
    default:
      CHECK(false);
      return {};
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

// Q5_0 and Q5_1: from bit 4 l + i to bit l of byte i.
uint32_t bits_by_byte(uint32_t bits) {
  uint32_t out = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    uint32_t b = bits >> i & 0x11111111u;  // bit l at 4 l
    b = (b | b >> 3) & 0x03030303u;
    b = (b | b >> 6) & 0x000F000Fu;
    b = (b | b >> 12) & 0xFFu;
    out |= b << (8 * i);
  }
  return out;
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

void pack_quantized_block(const PackedLayout& layout, const FileBlock& file, const uint8_t* from,
                          size_t r, uint8_t* quants, uint8_t* high, uint8_t* scales,
                          uint8_t* deltas) {
  const uint32_t flip = layout.dtype == DType::kQ8_0 ? 0x80808080u : 0;
  const bool bits = layout.dtype == DType::kQ5_0 || layout.dtype == DType::kQ5_1;
  for (size_t i = 0; i < file.quants_bytes / 4; ++i) {
    store_dword(quants, i, r, tensor::load<uint32_t>(from + file.quants_at + 4 * i) ^ flip);
  }
  for (size_t i = 0; i < file.high_bytes / 4; ++i) {
    const auto dword = tensor::load<uint32_t>(from + file.high_at + 4 * i);
    store_dword(high, i, r, bits ? bits_by_byte(dword) : dword);
  }
  for (size_t j = 0; j < layout.scales / kGroupRows; ++j) {
    scales[j * kGroupRows + r] = scale_byte(layout.dtype, from, j);
  }
  if (layout.dtype == DType::kMXFP4) {
    deltas[r] = from[file.deltas_at];
    return;
  }
  for (size_t j = 0; j < layout.deltas / 32; ++j) {
    std::memcpy(deltas + 32 * j + 2 * r, from + file.deltas_at + 2 * j, 2);
  }
}

// Values of `width` bytes; BF16 pairs are dwords already, F16 and F32 lines hold one column.
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
  return {packed_regions(*layout, n_cols).n_bytes, layout->activation};
}

size_t activation_row_bytes(Activation activation, size_t n_cols) {
  if (activation == Activation::kF32) return (n_cols * sizeof(float) + 63) / 64 * 64;
  return sizeof(ActivationHeader) + 2 * sizeof(ActivationBlock) * (n_cols / kActivationBlock);
}

void pack_groups(const PackedMatrix& shape, const std::byte* rows, size_t group_begin,
                 size_t group_end, std::byte* out) {
  const PackedLayout* layout = packed_layout(shape.dtype);
  CHECK(layout != nullptr && group_end <= shape.n_groups());
  const PackedRegions at = packed_regions(*layout, shape.n_cols);
  CHECK(shape.group_bytes == at.n_bytes);
  for (size_t group = group_begin; group < group_end; ++group) {
    auto* base = reinterpret_cast<uint8_t*>(out + group * at.n_bytes);
    std::memset(base, 0, at.n_bytes);
    const Rows source(shape, rows, group);
    for (size_t r = 0; r < kGroupRows && source.block(r, 0) != nullptr; ++r) {
      if (layout->activation == Activation::kF32) {
        pack_float_row(shape.dtype, source.block(r, 0), shape.n_cols, r, base);
        continue;
      }
      const FileBlock file = file_block(shape.dtype);
      for (size_t b = 0; b < at.n_blocks; ++b) {
        pack_quantized_block(*layout, file, source.block(r, b), r, base + layout->quants * b,
                             base + at.high + layout->high * b,
                             base + at.scales + layout->scales * b,
                             base + at.deltas + layout->deltas * b);
      }
    }
  }
}

}  // namespace maru::kernels
