// Every tiny embedding model against its reference vectors, on every instruction set that the
// machine has; and that neither neighbours nor threads show in a single bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "model/embedding.h"
#include "model/load_vocab.h"
#include "model_truth.h"
#include "source_dir.h"
#include "text/tokenizer.h"

namespace maru::model {
namespace {

namespace fs = std::filesystem;

// The README's tolerances.
constexpr double kDifferenceMax = 5e-3;
constexpr double kCosineMin = 0.9999;

fs::path tiny_path(const std::string& name, const std::string& extension) {
  const fs::path own = fs::path(MARU_SOURCE_DIR) / "tests/data/tiny_models" / (name + extension);
  if (fs::exists(own)) return own;
  return fs::path(MARU_SOURCE_DIR) / "../shared/fixtures/tiny_models" / (name + extension);
}

struct Loaded {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<gguf::File> file;
  std::unique_ptr<Model> decoder;
  std::unique_ptr<EmbeddingModel> model;
};

Loaded load(const fs::path& path, const kernels::KernelTable& kernels, size_t n_threads) {
  Loaded loaded;
  loaded.pool = std::make_unique<ThreadPool>(n_threads);
  loaded.file = std::make_unique<gguf::File>(std::move(gguf::File::open(path)).value());
  const LoadOptions options = {loaded.pool.get(), &kernels};
  const auto& metadata = loaded.file->metadata();
  const auto architecture = metadata.get_string("general.architecture").value();
  if (is_encoder(architecture)) {
    loaded.model = std::move(load_encoder(*loaded.file, options)).value();
  } else {
    loaded.decoder = std::move(load_model(*loaded.file, options)).value();
    const Pooling pooling = read_pooling(metadata, architecture).value();
    loaded.model = embed_with_decoder(*loaded.decoder, pooling);
  }
  return loaded;
}

using Ids = std::vector<TokenId>;

std::vector<float> embed(EmbeddingModel& model, const std::vector<Ids>& texts) {
  size_t n_rows = 0;
  std::vector<EmbedText> sequences;
  for (const Ids& ids : texts) {
    sequences.push_back({ids});
    n_rows += ids.size();
  }
  std::vector<float> out(n_rows * model.info().d_model);
  const auto done = model.embed(sequences, out);
  EXPECT_TRUE(done.ok());
  return out;
}

double largest_difference(std::span<const float> got, const std::vector<float>& want) {
  EXPECT_EQ(got.size(), want.size());
  double largest = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::abs(double{got[i]} - want[i]));
  }
  return largest;
}

double cosine(std::span<const float> a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    ab += double{a[i]} * b[i], aa += double{a[i]} * a[i], bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

class TinyEmbeddings : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = tiny_path(GetParam(), ".gguf");
    if (!fs::exists(path_)) GTEST_SKIP() << "no fixture " << GetParam();
    truth_ = testing::read_json(tiny_path(GetParam(), ".json"));
    for (const auto& s : truth_["sequences"]) texts_.push_back(s["ids"].get<Ids>());
  }

  fs::path path_;
  nlohmann::json truth_;
  std::vector<Ids> texts_;
};

TEST_P(TinyEmbeddings, VectorsMatchTheReference) {
  const auto want = testing::read_floats(tiny_path(GetParam(), ".f32"));
  for (const kernels::KernelTable* kernels : kernels::available_kernels()) {
    const Loaded loaded = load(path_, *kernels, 2);
    const size_t d = loaded.model->info().d_model;
    const auto rows = embed(*loaded.model, texts_);
    const double rows_difference = largest_difference(rows, want);
    EXPECT_LE(rows_difference, kDifferenceMax) << kernels->isa;
    double pooled_difference = 0;
    size_t first = 0;
    for (size_t i = 0; i < texts_.size(); ++i) {
      const auto& s = truth_["sequences"][i];
      std::vector<float> pooled(d);
      pool_rows(loaded.model->pooling(), std::span(rows).subspan(first, texts_[i].size() * d),
                pooled);
      const auto want_pooled = s["pooled"].get<std::vector<float>>();
      pooled_difference = std::max(pooled_difference, largest_difference(pooled, want_pooled));
      EXPECT_GT(cosine(pooled, want_pooled), kCosineMin);
      normalize(pooled);
      EXPECT_LE(largest_difference(pooled, s["normalized"]), kDifferenceMax);
      first += texts_[i].size() * d;
    }
    EXPECT_LE(pooled_difference, kDifferenceMax) << kernels->isa;
    RecordProperty(std::string(kernels->isa) + "_rows", std::to_string(rows_difference));
    RecordProperty(std::string(kernels->isa) + "_pooled", std::to_string(pooled_difference));
  }
}

TEST_P(TinyEmbeddings, TheTokenizerGivesTheReferencesIds) {
  const auto file = std::move(gguf::File::open(path_)).value();
  auto vocab = load_vocab(file.metadata());
  ASSERT_TRUE(vocab.ok()) << vocab.error().message;
  const auto tokenizer = text::Tokenizer::create(std::move(vocab).value());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  size_t n_texts = 0;
  for (const auto& s : truth_["sequences"]) {
    if (s["text"].is_null()) continue;
    EXPECT_EQ(tokenizer->encode(s["text"].get<std::string>(), {.add_special = true}),
              s["ids"].get<Ids>());
    ++n_texts;
  }
  EXPECT_GT(n_texts, 0u);
}

// Alone = beside the others in any order = with 1, 2 and 3 threads.
TEST_P(TinyEmbeddings, VectorsDoNotDependOnTheBatch) {
  const kernels::KernelTable& kernels = *kernels::available_kernels().back();
  // Beyond one pass of rows: every text four times.
  std::vector<Ids> many;
  for (int i = 0; i < 4; ++i) many.insert(many.end(), texts_.rbegin(), texts_.rend());
  const Loaded reference = load(path_, kernels, 1);
  std::vector<float> want;
  for (const Ids& ids : many) {
    const auto rows = embed(*reference.model, {ids});
    want.insert(want.end(), rows.begin(), rows.end());
  }
  for (const size_t n_threads : {1, 2, 3}) {
    const Loaded loaded = load(path_, kernels, n_threads);
    const auto got = embed(*loaded.model, many);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0) << n_threads;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TinyEmbeddings,
                         ::testing::Values("bert-cls", "bert-mean", "nomic-bert", "xlm-roberta",
                                           "qwen3-embedding"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) {
                             if (c == '-') c = '_';
                           }
                           return name;
                         });

TEST(Pooling, NamesGoBothWays) {
  for (const auto each : {Pooling::kNone, Pooling::kMean, Pooling::kCls, Pooling::kLast}) {
    EXPECT_EQ(pooling_from_name(pooling_name(each)), each);
  }
  EXPECT_FALSE(pooling_from_name("rank").has_value());
}

TEST(Pooling, TakesMeanFirstAndLast) {
  const std::vector<float> rows = {1, 2, 3, 5, 5, 11};
  const auto pooled = [&](Pooling pooling) {
    std::vector<float> out(2);
    pool_rows(pooling, rows, out);
    return out;
  };
  EXPECT_EQ(pooled(Pooling::kMean), (std::vector<float>{3, 6}));
  EXPECT_EQ(pooled(Pooling::kCls), (std::vector<float>{1, 2}));
  EXPECT_EQ(pooled(Pooling::kLast), (std::vector<float>{5, 11}));
  std::vector<float> v = {3, 4}, zeros = {0, 0};
  normalize(v);
  normalize(zeros);
  EXPECT_EQ(v, (std::vector<float>{0.6f, 0.8f}));
  EXPECT_EQ(zeros, (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace maru::model
