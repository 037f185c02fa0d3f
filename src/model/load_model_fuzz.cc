// Mutated model files: whatever the header says, load_model() answers with a model that can run or
// with an error. MARU_FUZZ_ITERATIONS makes it longer; a failure prints its seed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/rng.h"
#include "gguf/file.h"
#include "model/model.h"
#include "source_dir.h"

namespace maru::model {
namespace {

constexpr uint64_t kIterations = 300;
constexpr size_t kHeaderBytes = 4096;  // metadata and tensor list of these files, about

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void mutate(std::string& bytes, Rng& rng) {
  const size_t n = 1 + rng.below(4);
  for (size_t i = 0; i < n; ++i) {
    const size_t at = rng.below(std::min(bytes.size(), kHeaderBytes));
    switch (rng.below(3)) {
      case 0:
        bytes[at] = static_cast<char>(rng.below(256));
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
        break;
      default:
        bytes[at] = static_cast<char>(rng.below(3));
        break;
    }
  }
}

void try_to_run(const std::string& bytes, ThreadPool& pool) {
  auto file = gguf::File::parse(std::as_bytes(std::span(bytes)));
  if (!file.ok()) return;
  auto model = load_model(*file, {&pool, kernels::available_kernels().back()});
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
  const char* wanted = std::getenv("MARU_FUZZ_ITERATIONS");
  const uint64_t n = wanted == nullptr ? kIterations : std::strtoull(wanted, nullptr, 10);
  ThreadPool pool(1);
  for (const std::string name : {"llama", "gemma3", "mixtral"}) {
    const std::string original = read_all(std::filesystem::path(MARU_SOURCE_DIR) /
                                          "tests/data/tiny_models" / (name + ".gguf"));
    ASSERT_FALSE(original.empty());
    for (uint64_t seed = 0; seed < n; ++seed) {
      SCOPED_TRACE(::testing::Message() << name << " seed " << seed);
      Rng rng(seed);
      std::string bytes = original;
      mutate(bytes, rng);
      try_to_run(bytes, pool);
    }
  }
}

}  // namespace
}  // namespace maru::model
