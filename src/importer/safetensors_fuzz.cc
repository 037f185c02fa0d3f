// Seeded mutations of safetensors files: whatever the bytes, opening ends in an error or in tensors
// that lie inside the bytes, with little memory.
//
// MARU_FUZZ_ITERATIONS sets how many (default 20000), MARU_FUZZ_SEED the first; a failure prints
// the seed.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "importer/safetensors.h"
#include "memory_meter.h"
#include "mutate.h"
#include "safetensors_writer.h"

namespace maru::importer {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;

std::string model_like_file() {
  testing_support::SafetensorsWriter writer;
  writer.add_f32("model.embed_tokens.weight", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  writer.add("model.layers.0.self_attn.q_proj.weight", "BF16", {2, 2}, "abcdefgh");
  writer.add("model.layers.0.mlp.experts.down_proj_blocks", "U8", {2, 1, 1, 4}, "abcdefgh");
  writer.add("model.norm.weight", "F16", {2}, "abcd");
  return writer.finish();
}

TEST(SafetensorsFuzz, AnyBytesAreAnErrorOrTensorsInside) {
  const std::string original = model_like_file();
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  size_t n_opened = 0;
  for (uint64_t seed = first; seed < first + setting("MARU_FUZZ_ITERATIONS", 20000); ++seed) {
    SCOPED_TRACE(testing::Message() << "MARU_FUZZ_SEED=" << seed);
    Rng rng(seed);
    std::string file = original;
    testing_support::mutate_bytes(file, rng, 420);
    const MemoryMeter meter;
    const auto bytes = std::as_bytes(std::span(file));
    const auto opened = parse_safetensors(bytes);
    ASSERT_LE(meter.peak_bytes(), file.size() + kHostileMemoryMax);
    if (!opened.ok()) {
      ASSERT_FALSE(opened.error().message.empty());
      continue;
    }
    ++n_opened;
    for (const SourceTensor& tensor : (*opened)) {
      ASSERT_GE(tensor.bytes.data(), bytes.data());
      ASSERT_LE(tensor.bytes.data() + tensor.bytes.size(), bytes.data() + bytes.size());
      ASSERT_GE(tensor.bytes.size(), tensor.n_elements());
      ASSERT_LE(tensor.n_rows() * tensor.n_cols(), tensor.n_elements());
    }
  }
  std::printf("%zu files opened\n", n_opened);
}

}  // namespace
}  // namespace maru::importer
