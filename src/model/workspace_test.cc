#include "model/workspace.h"

#include <gtest/gtest.h>

namespace maru::model {
namespace {

// As Qwen 2.5 0.5B has them.
WorkspaceSizes half_billion() {
  WorkspaceSizes sizes;
  sizes.d_model = sizes.n_q = sizes.n_attn = 896;
  sizes.n_hidden = 4864;
  sizes.n_tile = 224;
  sizes.n_attention = 32'768;
  sizes.n_rope = 64;
  sizes.forms[static_cast<size_t>(kernels::Activation::kInt8)] = true;
  return sizes;
}

size_t bytes_of(const WorkspaceSizes& sizes) {
  ThreadPool pool(2);
  const auto work = Workspace::create(sizes, pool, *kernels::available_kernels().front());
  EXPECT_TRUE(work.ok());
  return work.ok() ? work->n_bytes() : 0;
}

TEST(Workspace, IsSmallBesideTheWeights) {
  constexpr size_t kWeights = 393'000'000;  // of that model in Q4_K_M, packed
  EXPECT_LE(bytes_of(half_billion()), kWeights / 25);
}

TEST(Workspace, HasOnlyTheFormsThatAreWanted) {
  WorkspaceSizes sizes = half_billion();
  const size_t one = bytes_of(sizes);
  sizes.forms[static_cast<size_t>(kernels::Activation::kBf16)] = true;
  const size_t row = kernels::activation_row_bytes(kernels::Activation::kBf16, sizes.n_hidden);
  EXPECT_EQ(bytes_of(sizes), one + (kPassRows + 2 * kRepeatedRows) * row);
}

TEST(Workspace, TheHalvesOfALayerShareTheirMemory) {
  WorkspaceSizes sizes = half_billion();
  const size_t before = bytes_of(sizes);
  sizes.n_gate = 896;  // four of the mixer's and this are below n_hidden
  EXPECT_EQ(bytes_of(sizes), before);
}

}  // namespace
}  // namespace maru::model
