#include "kernels/roofs.h"

#include <gtest/gtest.h>

#include "kernels/kernel_table.h"

namespace maru::kernels {
namespace {

TEST(Roofs, AreMeasuredForEveryTableOfThisMachine) {
  const SystemClock clock;
  ThreadPool pool(2);
  for (const KernelTable* table : available_kernels()) {
    const Roofs roofs = measure_roofs(table->isa, clock, pool);
    EXPECT_GT(roofs.read_bytes_per_s, 0) << table->isa;
    EXPECT_GT(roofs.sustained_bytes_per_s, 0) << table->isa;
    EXPECT_EQ(roofs.int8_ops_per_s > 0, roofs.instruction != "none") << table->isa;
    EXPECT_EQ(roofs.instruction == "none", table->isa == "scalar") << table->isa;
  }
}

TEST(Roofs, ANameThatIsNotHereHasNoPeak) {
  const SystemClock clock;
  ThreadPool pool(1);
  EXPECT_EQ(measure_roofs("neon", clock, pool).instruction, "none");
}

}  // namespace
}  // namespace maru::kernels
