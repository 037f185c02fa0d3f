// What a decoded token costs, in exact numbers: the guard against lost speed. A change that makes
// one of these larger must say why.
#include <gtest/gtest.h>

#include <filesystem>

#include "model/model.h"
#include "model_truth.h"
#include "source_dir.h"

namespace maru::model {
namespace {

namespace fs = std::filesystem;

Counters minus(const Counters& a, const Counters& b) {
  return {a.matmul_calls - b.matmul_calls, a.weight_bytes - b.weight_bytes, a.barriers - b.barriers,
          a.rows - b.rows};
}

struct Costs {
  Counters decode;   // one token after 70
  Counters prefill;  // the 70 before it
};

Costs measure(const fs::path& path, size_t n_threads) {
  auto loaded = testing::LoadedModel::load(path, *kernels::available_kernels().back(), n_threads);
  EXPECT_TRUE(loaded.ok());
  testing::Sequence sequence(*loaded->model, 71);
  const std::vector<TokenId> ids(70, 1);
  sequence.eval(ids, 1);
  const Counters prefill = loaded->model->counters();
  sequence.eval(std::span(ids).first(1), 1);
  return {minus(loaded->model->counters(), prefill), prefill};
}

TEST(Counters, TinyLlama) {
  const fs::path path = fs::path(MARU_SOURCE_DIR) / "tests/data/tiny_models/llama.gguf";
  for (const size_t n_threads : {1, 2, 3}) {
    const Costs costs = measure(path, n_threads);
    // Per layer: q, k, v, attention, out, gate and up, down; the head once. All weights are F32.
    const uint64_t layer_bytes = 4 * (64 * (64 + 32 + 32 + 64) + 3 * 64 * 128);
    const uint64_t bytes = 2 * layer_bytes + 4 * 64 * 384;
    EXPECT_EQ(costs.decode.weight_bytes, bytes);
    EXPECT_EQ(costs.decode.barriers, 2 * 5 + 1);
    EXPECT_EQ(costs.decode.rows, 1);
    // Heads of 16 are 4 + 2 + 2 tiles; 64, 128 and 384 rows are 2, 4 and 12 pairs of groups.
    EXPECT_EQ(costs.decode.matmul_calls, 2 * (8 + 2 + 2 * 4 + 2) + 12);
    // More than kRepeatedRows rows: the weights once still, one more barrier per input.
    EXPECT_EQ(costs.prefill.weight_bytes, bytes);
    EXPECT_EQ(costs.prefill.barriers, 2 * (2 + 1 + 2 + 2 + 2) + 1);
    EXPECT_EQ(costs.prefill.rows, 70);
  }
}

TEST(Counters, RealModel) {
  const fs::path path = testing::stored_model("smollm2-135m");
  if (!fs::exists(path)) GTEST_SKIP() << "not pulled: " << path;
  const Costs costs = measure(path, 2);
  auto loaded = testing::LoadedModel::load(path, *kernels::available_kernels().back(), 1);
  ASSERT_TRUE(loaded.ok());
  // Everything is read once: what info() promises, but for the one row of the embeddings.
  EXPECT_EQ(costs.decode.weight_bytes, loaded->model->info().bytes_per_token - 612);
  EXPECT_EQ(costs.decode.barriers, 30 * 5 + 1);
  EXPECT_EQ(costs.prefill.weight_bytes, costs.decode.weight_bytes);
  EXPECT_EQ(costs.prefill.barriers, 30 * 9 + 1);
}

}  // namespace
}  // namespace maru::model
