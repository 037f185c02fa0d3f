// Seeded mutations of a whole model folder: whatever config.json, tokenizer.json and the weights
// say, importing ends in an error or in a file that opens, with little memory.
//
// MARU_FUZZ_ITERATIONS sets how many (default 20000), MARU_FUZZ_SEED the first; a failure prints
// the seed.
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/rng.h"
#include "gguf/file.h"
#include "importer/family.h"
#include "importer/import.h"
#include "memory_meter.h"
#include "model_folder.h"
#include "mutate.h"

namespace maru::importer {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;
constexpr size_t kFileMax = 64 << 20;  // of what is written here

// Any value of the tree.
Json* random_node(Json& root, Rng& rng) {
  Json* node = &root;
  while (node->is_structured() && !node->empty() && rng.below(4) != 0) {
    auto at = node->begin();
    std::advance(at, static_cast<ptrdiff_t>(rng.below(node->size())));
    node = &*at;
  }
  return node;
}

Json random_value(Rng& rng) {
  const std::array<Json, 13> kValues = {
      nullptr, true, -1, 0, 1, 3, 1e30, 1ull << 31, ~0ull, "", "▁", Json::array(), Json::object()};
  if (rng.below(8) == 0) return testing_support::interesting_number(rng, 64);
  return kValues[rng.below(kValues.size())];
}

std::string mutated(const Json& original, Rng& rng) {
  Json json = original;
  for (uint64_t n = rng.below(3); n > 0; --n) *random_node(json, rng) = random_value(rng);
  if (json.is_object() && rng.below(4) == 0) {
    const std::array<const char*, 8> kKeys = {"head_dim",    "num_key_value_heads", "rope_scaling",
                                              "layer_types", "num_experts",         "added_tokens",
                                              "normalizer",  "post_processor"};
    json[kKeys[rng.below(kKeys.size())]] = random_value(rng);
  }
  std::string text = dump_json(json);
  if (rng.below(8) == 0) testing_support::mutate_bytes(text, rng, text.size() + 1);
  return text;
}

TEST(ImportFuzz, AnyFolderIsAnErrorOrAFileThatOpens) {
  const testing_support::ModelFolder folder;
  const Json config = testing_support::tiny_config();
  const Json tokenizer = testing_support::tiny_tokenizer();
  const std::string weights = testing_support::tiny_weights().finish();
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  size_t n_made = 0;
  for (uint64_t seed = first; seed < first + setting("MARU_FUZZ_ITERATIONS", 20000); ++seed) {
    SCOPED_TRACE(testing::Message() << "MARU_FUZZ_SEED=" << seed);
    Rng rng(seed);
    Json base = config;
    if (rng.below(2) == 0) {  // the rules of another family
      const auto all = families();
      base["model_type"] = all[rng.below(all.size())]->model_types[0];
    }
    folder.write("config.json", mutated(base, rng));
    folder.write("tokenizer.json", mutated(tokenizer, rng));
    std::string bytes = weights;
    if (rng.below(4) == 0) testing_support::mutate_bytes(bytes, rng, 1200);
    folder.write("model.safetensors", bytes);
    const MemoryMeter meter;
    const auto import = plan_import(folder.path(), {});
    if (import.ok() && plan_bytes(import->plan) < kFileMax) {
      std::string file;
      const auto write = [&](std::span<const std::byte> chunk) -> Result<void> {
        file.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
        return {};
      };
      const auto done =
          write_plan(import->plan, import->weights, {write, [](uint64_t, uint64_t) {}});
      if (done.ok()) {
        ++n_made;
        const auto opened = gguf::File::parse(std::as_bytes(std::span(file)));
        ASSERT_TRUE(opened.ok()) << opened.error().message;
      } else {
        ASSERT_FALSE(done.error().message.empty());
      }
    } else if (!import.ok()) {
      ASSERT_FALSE(import.error().message.empty());
    }
    ASSERT_LE(meter.peak_bytes(), kHostileMemoryMax);
  }
  std::printf("%zu files made\n", n_made);
}

}  // namespace
}  // namespace maru::importer
