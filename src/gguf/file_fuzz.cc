// Seeded mutations of GGUF files: whatever the bytes, opening ends in an error or in a File whose
// every part lies inside the bytes, with little memory.
//
// MARU_FUZZ_ITERATIONS sets how many (default 20000), MARU_FUZZ_SEED the first; a failure prints
// the seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string>

#include "base/files.h"
#include "base/rng.h"
#include "gguf/file.h"
#include "gguf/writer.h"
#include "memory_meter.h"
#include "mutate.h"
#include "source_dir.h"

namespace maru::gguf {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;

std::string model_like_file() {
  Writer writer;
  writer.set_string("general.architecture", "llama");
  writer.set_u32("general.alignment", 32);
  writer.set_u32("llama.block_count", 2);
  writer.set_u64("llama.context_length", 4096);
  writer.set_f32("llama.rope.freq_base", 10000.0f);
  writer.set_bool("tokenizer.ggml.add_bos_token", true);
  writer.set_strings("tokenizer.ggml.tokens", std::vector<std::string>{"<s>", "a", "b", "ab"});
  writer.set_f32s("tokenizer.ggml.scores", std::vector<float>{0, -1, -2, -3});
  writer.set_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{3, 1, 1, 1});
  writer.set_u8s("tokenizer.ggml.precompiled_charsmap", std::vector<uint8_t>(37, 7));
  const std::vector<float> values(64, 1.0f);
  const auto data = std::as_bytes(std::span(values));
  writer.add_tensor("token_embd.weight", tensor::DType::kF32, std::vector<uint64_t>{16, 4}, data);
  writer.add_tensor("output_norm.weight", tensor::DType::kF32, std::vector<uint64_t>{16},
                    data.first(64));
  writer.add_tensor("blk.0.attn_q.weight", tensor::DType::kQ8_0, std::vector<uint64_t>{32, 2},
                    data.first(68));
  return writer.finish();
}

// Reads everything that a File hands out; each view must lie inside `bytes`.
void use(const File& file, std::span<const std::byte> bytes) {
  const Metadata& metadata = file.metadata();
  size_t n_chars = 0;
  for (const Entry& entry : metadata.entries()) {
    ASSERT_TRUE(metadata.has(entry.key));
    (void)metadata.get_u32(entry.key);
    (void)metadata.get_u64(entry.key);
    (void)metadata.get_i32(entry.key);
    (void)metadata.get_f32(entry.key);
    (void)metadata.get_bool(entry.key);
    if (const auto text = metadata.get_string(entry.key); text.ok()) n_chars += text->size();
    if (const auto all = metadata.get_strings(entry.key); all.ok()) {
      for (const std::string_view text : *all) n_chars += text.size();
    }
    if (const auto all = metadata.get_u8s(entry.key); all.ok()) n_chars += all->to_vector().size();
    if (const auto all = metadata.get_i32s(entry.key); all.ok()) n_chars += all->to_vector().size();
    if (const auto all = metadata.get_f32s(entry.key); all.ok()) n_chars += all->to_vector().size();
    if (const auto all = metadata.get_bools(entry.key); all.ok()) {
      n_chars += all->to_vector().size();
    }
  }
  ASSERT_LE(n_chars, 8 * bytes.size());
  unsigned sum = 0;
  for (const TensorView& tensor : file.tensors()) {
    ASSERT_EQ(file.find_tensor(tensor.name)->bytes.data(), tensor.bytes.data());
    ASSERT_FALSE(tensor.bytes.empty());
    ASSERT_GE(tensor.bytes.data(), bytes.data());
    ASSERT_LE(tensor.bytes.data() + tensor.bytes.size(), bytes.data() + bytes.size());
    const tensor::DTypeInfo& info = tensor::dtype_info(tensor.dtype);
    ASSERT_EQ(tensor.row_bytes() * tensor.n_rows(), tensor.bytes.size());
    ASSERT_EQ(tensor.n_cols() / info.block_elements * info.block_bytes, tensor.row_bytes());
    sum += static_cast<unsigned>(tensor.bytes.front()) + static_cast<unsigned>(tensor.bytes.back());
  }
  ASSERT_LE(sum, 2u * 255 * file.tensors().size());
}

void parse_and_use(std::string_view text, size_t& n_accepted) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  const MemoryMeter meter;
  const auto file = File::parse(bytes);
  ASSERT_LE(meter.peak_bytes(), kHostileMemoryMax);
  if (!file.ok()) {
    ASSERT_FALSE(file.error().message.empty());
    return;
  }
  ++n_accepted;
  use(*file, bytes);
}

TEST(GgufFuzz, MutatedFilesAreRefusedOrSound) {
  const std::string original = model_like_file();
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const uint64_t n_iterations = setting("MARU_FUZZ_ITERATIONS", 20'000);
  size_t n_accepted = 0;
  testing_support::SlowestInput slowest("GGUF");
  for (uint64_t seed = first; seed < first + n_iterations; ++seed) {
    Rng rng(seed);
    std::string bytes = original;
    testing_support::mutate_bytes(bytes, rng);
    bytes.shrink_to_fit();  // so that a sanitizer sees a read past the end
    const std::clock_t begin = std::clock();
    parse_and_use(bytes, n_accepted);
    slowest.add(seed, begin);
    if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
  }
  // Mutations that break nothing must still be accepted, or this test sees only the first check.
  EXPECT_GE(n_accepted, n_iterations / 50);
}

// Numbers inside real files, changed in place and back.
TEST(GgufFuzz, MutatedModelsAreRefusedOrSound) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  for (const fs::path folder : {MARU_SOURCE_DIR "/tests/data/tiny_models",
                                MARU_SOURCE_DIR "/../shared/fixtures/tiny_models"}) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder, none)) {
      if (entry.path().extension() != ".gguf") continue;
      auto content = read_file(entry.path(), 64 << 20);
      ASSERT_TRUE(content.ok());
      size_t n_accepted = 0;
      parse_and_use(*content, n_accepted);
      EXPECT_EQ(n_accepted, 1u) << entry.path();
      files.push_back(std::move(content).value());
    }
  }
  if (files.empty()) GTEST_SKIP() << "no tiny models here";
  const uint64_t n_iterations = setting("MARU_FUZZ_ITERATIONS", 20'000) / 10;
  size_t n_accepted = 0;
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  for (uint64_t seed = first; seed < first + n_iterations; ++seed) {
    Rng rng(seed);
    std::string& bytes = files[rng.below(files.size())];
    const size_t at = rng.below(std::min<size_t>(bytes.size() - 8, 32 << 10));
    const std::string before = bytes.substr(at, 8);
    testing_support::overwrite_number(bytes, at,
                                      testing_support::interesting_number(rng, bytes.size()), 8);
    parse_and_use(bytes, n_accepted);
    if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
    bytes.replace(at, 8, before);
  }
}

// Counts at their limits: many small things must not ask for much.
TEST(GgufFuzz, ManyEntriesStayCheap) {
  Writer writer;
  for (size_t i = 0; i < kMetadataEntriesMax; ++i) writer.set_bool(std::to_string(i), true);
  const std::string entries = writer.finish();
  size_t n_accepted = 0;
  parse_and_use(entries, n_accepted);
  Writer tensors;
  const float one = 1;
  for (size_t i = 0; i < kTensorsMax; ++i) {
    tensors.add_tensor(std::to_string(i), tensor::DType::kF32, std::vector<uint64_t>{1},
                       std::as_bytes(std::span(&one, 1)));
  }
  const std::string many = tensors.finish();
  parse_and_use(many, n_accepted);
  EXPECT_EQ(n_accepted, 2u);
}

}  // namespace
}  // namespace maru::gguf
