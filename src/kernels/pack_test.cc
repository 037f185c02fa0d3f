// Every table's packing against the plain one, byte by byte.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/kernel_table.h"
#include "kernels/packed_layout.h"
#include "tensor/dtype.h"

namespace maru::kernels {
namespace {

std::vector<std::byte> packed_by(PackGroups pack, const PackedMatrix& shape,
                                 const std::vector<std::byte>& rows) {
  // Dirty, so that a byte that is not written shows.
  std::vector<std::byte> out(shape.group_bytes * shape.n_groups() + 1, std::byte{0xAB});
  pack(shape, rows.data(), 0, shape.n_groups(), out.data());
  EXPECT_EQ(out.back(), std::byte{0xAB});
  return out;
}

TEST(PackGroups, AllTablesGiveTheSameBytes) {
  Rng rng(11);
  for (const PackedLayout& layout : kPackedLayouts) {
    const tensor::DTypeInfo& info = tensor::dtype_info(layout.dtype);
    for (const size_t n_cols : {1, 5, 8, 32, 40, 96, 256, 576, 896, 1280}) {
      if (n_cols % info.block_elements != 0) continue;
      for (const size_t n_rows : {1, 15, 16, 33, 64}) {
        PackedMatrix shape;
        shape.dtype = layout.dtype;
        shape.n_rows = n_rows;
        shape.n_cols = n_cols;
        shape.group_bytes = packed_shape(layout.dtype, n_cols).group_bytes;
        // Exactly as large as the tensor: a sanitizer sees reads beyond it.
        std::vector<std::byte> rows(n_rows * n_cols / info.block_elements * info.block_bytes);
        for (std::byte& byte : rows) byte = static_cast<std::byte>(rng.next());
        const auto expected = packed_by(pack_groups, shape, rows);
        for (const KernelTable* table : available_kernels()) {
          ASSERT_EQ(packed_by(table->pack_groups, shape, rows), expected)
              << table->isa << " " << info.name << " [" << n_rows << ", " << n_cols << "]";
        }
      }
    }
  }
}

// Any range of groups goes where it belongs.
TEST(PackGroups, PartsMakeTheWhole) {
  Rng rng(12);
  const size_t n_rows = 100, n_cols = 512;
  PackedMatrix shape;
  shape.dtype = tensor::DType::kQ4_K;
  shape.n_rows = n_rows;
  shape.n_cols = n_cols;
  shape.group_bytes = packed_shape(shape.dtype, n_cols).group_bytes;
  std::vector<std::byte> rows(n_rows * n_cols / 256 * 144);
  for (std::byte& byte : rows) byte = static_cast<std::byte>(rng.next());
  const auto expected = packed_by(pack_groups, shape, rows);
  for (const KernelTable* table : available_kernels()) {
    std::vector<std::byte> out(expected.size(), std::byte{0xAB});
    for (const auto& [begin, end] : {std::pair{3, 7}, {0, 1}, {1, 3}}) {
      table->pack_groups(shape, rows.data(), static_cast<size_t>(begin), static_cast<size_t>(end),
                         out.data());
    }
    ASSERT_EQ(out, expected) << table->isa;
  }
}

// Packed weights are hardly larger than the file's.
TEST(PackGroups, AddLittleToTheFile) {
  constexpr double kSlackMost = 1.06;  // Q3_K has 116 bytes instead of 110
  for (const PackedLayout& layout : kPackedLayouts) {
    const tensor::DTypeInfo& info = tensor::dtype_info(layout.dtype);
    for (const size_t n_cols : {256, 1536, 8960}) {
      const size_t in_file = kGroupRows * n_cols / info.block_elements * info.block_bytes;
      EXPECT_LE(static_cast<double>(packed_shape(layout.dtype, n_cols).group_bytes),
                kSlackMost * static_cast<double>(in_file))
          << info.name;
    }
  }
}

}  // namespace
}  // namespace maru::kernels
