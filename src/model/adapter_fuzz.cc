// Mutated adapter files: whatever one says, add_adapter() takes it and the model runs with it, or
// answers with an error, and holds no more than the file and a bound.
//
// MARU_FUZZ_ITERATIONS sets how many (default 500), MARU_FUZZ_SEED the first; a failure prints its
// seed.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "memory_meter.h"
#include "model_truth.h"
#include "mutate.h"
#include "source_dir.h"

namespace maru::model {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;

constexpr uint64_t kIterations = 500;
constexpr size_t kHeaderBytes = 2048;  // metadata and tensor list

void try_to_run(const std::string& bytes, const std::filesystem::path& base_path) {
  auto file = gguf::File::parse(std::as_bytes(std::span(bytes)));
  if (!file.ok()) return;
  const kernels::KernelTable& kernels = *kernels::available_kernels().back();
  auto base = testing::LoadedModel::load(base_path, kernels, 1);
  ASSERT_TRUE(base.ok());
  const MemoryMeter meter;
  const auto adapter = base->model->add_adapter(*file, {base->pool.get(), &kernels});
  EXPECT_LE(meter.peak_bytes(), bytes.size() + kHostileMemoryMax);
  if (!adapter.ok()) {
    EXPECT_FALSE(adapter.error().message.empty());
    return;
  }
  auto kv = base->model->make_kv_store(1, 1);
  ASSERT_TRUE(kv.ok());
  const TokenId tokens[] = {1, 2, 3};
  const BlockId blocks[] = {0};
  const Slice slice = {tokens, 0, blocks, 1, 0, *adapter};
  std::vector<float> logits(base->model->info().n_vocab);
  base->model->forward({&slice, 1}, **kv, logits);
}

TEST(AdapterFuzz, MutatedFiles) {
  const std::filesystem::path folder =
      std::filesystem::path(MARU_SOURCE_DIR) / "tests/data/tiny_models";
  std::ifstream in(folder / "llama-lora.gguf", std::ios::binary);
  const std::string original(std::istreambuf_iterator<char>(in), {});
  ASSERT_FALSE(original.empty());
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const uint64_t n = setting("MARU_FUZZ_ITERATIONS", kIterations);
  for (uint64_t seed = first; seed < first + n; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    std::string bytes = original;
    testing_support::mutate_bytes(bytes, rng, kHeaderBytes);
    try_to_run(bytes, folder / "llama.gguf");
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace maru::model
