// Which tables there are and how they are found.
#include "kernels/kernel_table.h"

#include <gtest/gtest.h>

namespace maru::kernels {
namespace {

TEST(KernelTable, ScalarIsAlwaysThereAndTheBestIsLast) {
  const auto tables = available_kernels();
  ASSERT_FALSE(tables.empty());
  EXPECT_EQ(tables.front()->isa, "scalar");
  EXPECT_EQ(find_kernels(""), tables.back());
  for (const KernelTable* table : tables) {
    EXPECT_EQ(find_kernels(table->isa), table);
    EXPECT_NE(table->matmul.matmul, nullptr) << table->isa;
    EXPECT_NE(table->ops.rms_norm, nullptr) << table->isa;
  }
}

TEST(KernelTable, AnUnknownNameIsNotFound) {
  EXPECT_EQ(find_kernels("neon2"), nullptr);
  EXPECT_EQ(find_kernels("AVX2"), nullptr);
}

TEST(KernelTable, TypesWithoutAKernelHaveNoPackedShape) {
  using tensor::DType;
  for (DType dtype : {DType::kIQ2_XS, DType::kTQ1_0, DType::kNVFP4, DType::kI32}) {
    EXPECT_EQ(packed_shape(dtype, 256).group_bytes, 0u);
  }
  EXPECT_EQ(packed_shape(DType::kQ4_K, 128).group_bytes, 0u);
  EXPECT_EQ(packed_shape(DType::kQ4_K, 0).group_bytes, 0u);
  EXPECT_EQ(packed_shape(DType::kQ4_K, 256).group_bytes, 16u * 148);
  EXPECT_EQ(packed_shape(DType::kQ8_0, 64).group_bytes, 16u * 68);
}

}  // namespace
}  // namespace maru::kernels
