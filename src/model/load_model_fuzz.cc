// Mutated model files: whatever the header says, load_model() answers with a model that can run or
// with an error, and holds no more than the file and a bound.
//
// MARU_FUZZ_ITERATIONS sets how many for each file (default 300), MARU_FUZZ_SEED the first; a
// failure prints its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/rng.h"
#include "gguf/file.h"
#include "memory_meter.h"
#include "model/model.h"
#include "mutate.h"
#include "source_dir.h"

namespace maru::model {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;

constexpr uint64_t kIterations = 300;
constexpr size_t kHeaderBytes = 4096;  // metadata and tensor list of these files, about

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Changes the header of a file in place: bytes, or the numbers that sizes are made of.
void mutate(std::string& bytes, Rng& rng) {
  const size_t n = 1 + rng.below(4);
  for (size_t i = 0; i < n; ++i) {
    const size_t at = rng.below(std::min(bytes.size(), kHeaderBytes));
    switch (rng.below(4)) {
      case 0:
        bytes[at] = static_cast<char>(rng.below(256));
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
        break;
      case 2:
        bytes[at] = static_cast<char>(rng.below(3));
        break;
      default:
        testing_support::overwrite_number(
            bytes, at, testing_support::interesting_number(rng, bytes.size()), 4);
        break;
    }
  }
}

void try_to_run(const std::string& bytes, ThreadPool& pool) {
  auto file = gguf::File::parse(std::as_bytes(std::span(bytes)));
  if (!file.ok()) return;
  const MemoryMeter meter;
  auto model = load_model(*file, {&pool, kernels::available_kernels().back()});
  EXPECT_LE(meter.peak_bytes(), bytes.size() + kHostileMemoryMax);
  if (!model.ok()) {
    EXPECT_FALSE(model.error().message.empty());
    return;
  }
  auto kv = (*model)->make_kv_store(1, 1);
  ASSERT_TRUE(kv.ok());
  const TokenId tokens[] = {0, 0, 0};
  const BlockId blocks[] = {0};
  const Slice slice = {tokens, 0, blocks, 1};
  std::vector<float> logits((*model)->info().n_vocab);
  (*model)->forward({&slice, 1}, **kv, logits);
}

TEST(LoadModelFuzz, MutatedHeaders) {
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const uint64_t n = setting("MARU_FUZZ_ITERATIONS", kIterations);
  ThreadPool pool(1);
  testing_support::SlowestInput slowest("model");
  for (const std::string name : {"llama", "gemma3", "mixtral"}) {
    const std::string original = read_all(std::filesystem::path(MARU_SOURCE_DIR) /
                                          "tests/data/tiny_models" / (name + ".gguf"));
    ASSERT_FALSE(original.empty());
    std::string bytes = original;
    for (uint64_t seed = first; seed < first + n; ++seed) {
      SCOPED_TRACE(::testing::Message() << name << " seed " << seed);
      Rng rng(seed);
      mutate(bytes, rng);
      const std::clock_t begin = std::clock();
      try_to_run(bytes, pool);
      slowest.add(seed, begin);
      std::copy_n(original.begin(), std::min(original.size(), 2 * kHeaderBytes), bytes.begin());
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace maru::model
