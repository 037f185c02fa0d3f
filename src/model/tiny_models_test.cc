// Every tiny model of a known family against its reference logits, on every instruction set that
// the machine has; and batch invariance on each.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/model.h"
#include "model_truth.h"
#include "source_dir.h"

namespace maru::model {
namespace {

namespace fs = std::filesystem;
using testing::LoadedModel;
using testing::Sequence;

// The README's tolerance: the largest logit difference, or (0 = does not help) the mean KL. Ours
// keeps keys and values in f16.
struct TinyModel {
  const char* name;
  double difference_max;
  double kl_max;
};

constexpr double kF32 = 1e-3, kF16Cache = 5e-2, kF16CacheKl = 1e-5, kExpertsKl = 1e-2,
                 kQuantized = 0.5;
constexpr TinyModel kTinyModels[] = {
    {"arcee", kF16Cache, kF16CacheKl},
    {"cohere2", kF16Cache, kF16CacheKl},
    {"deepseek2", kF16Cache, kExpertsKl},
    {"deepseek2-lite", kF16Cache, kExpertsKl},
    {"deepseek3", kF16Cache, kExpertsKl},
    {"ernie4_5", kF16Cache, kF16CacheKl},
    {"ernie4_5-moe", kF16Cache, kF16CacheKl},
    {"exaone4", kF16Cache, kF16CacheKl},
    {"gemma2", kF16Cache, kF16CacheKl},
    {"gemma3", kF16Cache, kF16CacheKl},
    {"glm4", kF16Cache, kF16CacheKl},
    {"glm4moe", kF16Cache, kF16CacheKl},
    {"gpt-oss", kF16Cache, kF16CacheKl},
    {"gpt-oss-mxfp4", kQuantized, kExpertsKl},
    {"granite", kF16Cache, kF16CacheKl},
    {"granitemoe", kF16Cache, kF16CacheKl},
    {"hunyuan-dense", kF16Cache, kF16CacheKl},
    {"lfm2", kF16Cache, kF16CacheKl},
    {"lfm2moe", kF16Cache, kF16CacheKl},
    {"llama", kF16Cache, kF16CacheKl},
    {"llama-bias", kF16Cache, kF16CacheKl},
    {"llama-f16", kF16Cache, 0},
    {"llama-linear-rope", kF16Cache, kF16CacheKl},
    {"llama-yarn-rope", kF16Cache, kF16CacheKl},
    {"llama3-rope", kF16Cache, kF16CacheKl},
    {"mamba2", kF32, 0},
    {"mistral", kF16Cache, kF16CacheKl},
    {"mixtral", kF16Cache, kF16CacheKl},
    {"nemotron", kF16Cache, kF16CacheKl},
    {"olmo2", kF16Cache, kF16CacheKl},
    {"olmo3", kF16Cache, kF16CacheKl},
    {"olmoe", kF16Cache, kF16CacheKl},
    {"phi3", kF16Cache, kF16CacheKl},
    {"qwen2", kF16Cache, kF16CacheKl},
    {"qwen2moe", kF16Cache, kF16CacheKl},
    {"qwen3", kF16Cache, kF16CacheKl},
    {"qwen3-bf16", kQuantized, 2 * 9.3e-5},
    {"qwen3-iq", kQuantized, 2 * 2.3e-4},
    {"qwen3-kquants", kQuantized, 2 * 2.3e-4},
    {"qwen3-q4_0", kQuantized, 2 * 1.2e-4},
    {"qwen3-q8_0", kQuantized, 2 * 9.0e-4},
    {"qwen3.5", kF16Cache, kF16CacheKl},
    {"qwen3moe", kF16Cache, kF16CacheKl},
    {"qwen3next", kF16Cache, kF16CacheKl},
    {"seed-oss", kF16Cache, kF16CacheKl},
    {"smollm3", kF16Cache, kF16CacheKl},
    {"stablelm", kF16Cache, kF16CacheKl},
    {"starcoder2", kF16Cache, kF16CacheKl},
};

fs::path tiny_path(const std::string& name, const std::string& extension) {
  const fs::path own = fs::path(MARU_SOURCE_DIR) / "tests/data/tiny_models" / (name + extension);
  if (fs::exists(own)) return own;
  return fs::path(MARU_SOURCE_DIR) / "../shared/fixtures/tiny_models" / (name + extension);
}

std::vector<std::vector<TokenId>> sequences_of(const nlohmann::json& truth) {
  std::vector<std::vector<TokenId>> sequences;
  for (const auto& s : truth["sequences"]) {
    sequences.push_back(s["ids"].get<std::vector<TokenId>>());
  }
  return sequences;
}

bool same_bytes(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class TinyModels : public ::testing::TestWithParam<TinyModel> {
 protected:
  void SetUp() override {
    path_ = tiny_path(GetParam().name, ".gguf");
    if (!fs::exists(path_)) GTEST_SKIP() << "no fixture " << GetParam().name;
    truth_ = testing::read_json(tiny_path(GetParam().name, ".json"));
  }

  // A null model is a failure that was already reported.
  LoadedModel load(const kernels::KernelTable& kernels, size_t n_threads) const {
    auto loaded = LoadedModel::load(path_, kernels, n_threads);
    if (loaded.ok()) return std::move(loaded).value();
    ADD_FAILURE() << loaded.error().message;
    return {};
  }

  fs::path path_;
  nlohmann::json truth_;
};

TEST_P(TinyModels, LogitsMatchTheReference) {
  const auto want = testing::read_floats(tiny_path(GetParam().name, ".f32"));
  for (const kernels::KernelTable* kernels : kernels::available_kernels()) {
    const LoadedModel loaded = load(*kernels, 2);
    ASSERT_NE(loaded.model, nullptr);
    const size_t n_vocab = loaded.model->info().n_vocab;
    double difference = 0, kl = 0;
    size_t n_rows = 0;
    for (const auto& ids : sequences_of(truth_)) {
      const auto got = testing::eval_all(*loaded.model, ids);
      for (size_t row = 0; row < ids.size(); ++row, ++n_rows) {
        const std::span truth_row(want.data() + n_rows * n_vocab, n_vocab);
        const std::span got_row(got.data() + row * n_vocab, n_vocab);
        for (size_t i = 0; i < n_vocab; ++i) {
          difference = std::max(difference, std::abs(double{truth_row[i]} - got_row[i]));
        }
        kl += testing::kl_divergence(truth_row, got_row) / static_cast<double>(want.size()) *
              static_cast<double>(n_vocab);
      }
    }
    ASSERT_EQ(n_rows * n_vocab, want.size());
    EXPECT_TRUE(difference <= GetParam().difference_max || kl <= GetParam().kl_max)
        << kernels->isa << ": largest difference " << difference << ", mean KL " << kl;
    RecordProperty(std::string(kernels->isa) + "_difference", std::to_string(difference));
  }
}

// Whole = in random chunks = beside the other sequences = with 1 and 3 threads, bit for bit.
TEST_P(TinyModels, LogitsDoNotDependOnTheBatch) {
  const kernels::KernelTable& kernels = *kernels::available_kernels().back();
  const auto sequences = sequences_of(truth_);
  const LoadedModel whole = load(kernels, 2);
  ASSERT_NE(whole.model, nullptr);
  std::vector<std::vector<float>> want;
  for (const auto& ids : sequences) want.push_back(testing::eval_all(*whole.model, ids));

  const size_t n_vocab = whole.model->info().n_vocab;
  for (const size_t n_threads : {1, 2, 3}) {
    const LoadedModel loaded = load(kernels, n_threads);
    for (uint64_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE(::testing::Message() << "threads " << n_threads << " seed " << seed);
      Rng rng(seed);
      auto kv = std::move(loaded.model->make_kv_store(sequences.size(), sequences.size())).value();
      std::vector<size_t> done(sequences.size(), 0);
      std::vector<BlockId> blocks(sequences.size());
      for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<BlockId>(i);
      while (true) {  // one batch: a random piece of a random choice of the sequences
        std::vector<Slice> batch;
        std::vector<size_t> of;
        bool left = false;
        for (size_t i = 0; i < sequences.size(); ++i) {
          const size_t n_left = sequences[i].size() - done[i];
          left |= n_left > 0;
          if (n_left == 0 || rng.below(3) == 0) continue;
          const size_t n = 1 + rng.below(rng.below(2) == 0 ? std::min<size_t>(n_left, 3) : n_left);
          batch.push_back({std::span(sequences[i]).subspan(done[i], n), done[i],
                           std::span(blocks).subspan(i, 1), n, static_cast<StateId>(i)});
          of.push_back(i);
        }
        if (!left) break;
        size_t n_rows = 0;
        for (const Slice& s : batch) n_rows += s.n_logits;
        std::vector<float> got(n_rows * n_vocab);
        loaded.model->forward(batch, *kv, got);
        size_t row = 0;
        for (size_t b = 0; b < batch.size(); ++b) {
          const size_t n = batch[b].tokens.size();
          const std::span piece(got.data() + row * n_vocab, n * n_vocab);
          const std::span expected(want[of[b]].data() + done[of[b]] * n_vocab, n * n_vocab);
          ASSERT_TRUE(same_bytes(piece, expected)) << "sequence " << of[b] << " at " << done[of[b]];
          done[of[b]] += n;
          row += n;
        }
      }
    }
  }
}

// A context of several spans, whose keys the workers share out where one token asks and do not
// where many ask: the last tokens evaluated one by one, or with all that comes before them.
TEST_P(TinyModels, LongContextsDoNotDependOnWhoReadsThem) {
  constexpr size_t kTokens = 900, kLast = 3;
  const kernels::KernelTable& kernels = *kernels::available_kernels().back();
  const auto sequences = sequences_of(truth_);
  std::vector<TokenId> ids;
  for (size_t i = 0; i < kTokens; ++i) {
    const auto& from = sequences[i % sequences.size()];
    ids.push_back(from[i * 7 % from.size()]);
  }
  std::vector<BlockId> blocks(blocks_for(kTokens));
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<BlockId>(i);
  const auto last_logits = [&](size_t n_threads, bool one_by_one) {
    const LoadedModel loaded = load(kernels, n_threads);
    auto kv = std::move(loaded.model->make_kv_store(blocks.size(), 1)).value();
    std::vector<float> logits(kLast * loaded.model->info().n_vocab);
    const std::span all(ids);
    const size_t n_first = one_by_one ? kTokens - kLast : kTokens;
    const Slice first = {all.first(n_first), 0, blocks, one_by_one ? 0 : kLast, 0};
    loaded.model->forward(std::span(&first, 1), *kv, logits);
    for (size_t i = n_first; i < kTokens; ++i) {
      const Slice one = {all.subspan(i, 1), i, blocks, 1, 0};
      const size_t n_vocab = loaded.model->info().n_vocab;
      loaded.model->forward(std::span(&one, 1), *kv,
                            std::span(logits).subspan((i - n_first) * n_vocab, n_vocab));
    }
    return logits;
  };
  const auto want = last_logits(1, false);
  for (const size_t n_threads : {1, 3}) {
    EXPECT_TRUE(same_bytes(last_logits(n_threads, true), want)) << n_threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(All, TinyModels, ::testing::ValuesIn(kTinyModels), [](const auto& info) {
  std::string name = info.param.name;
  for (char& c : name) {
    if (c == '-' || c == '.') c = '_';
  }
  return name;
});

}  // namespace
}  // namespace maru::model
