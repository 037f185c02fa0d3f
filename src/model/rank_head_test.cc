// The small random model that ranks against the scores that
// tests/data/tiny_models/make_bert_rank.py computed without Maru, and heads that are none.
#include "model/rank_head.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/files.h"
#include "gguf/writer.h"
#include "model/embedding.h"
#include "model_truth.h"
#include "source_dir.h"

namespace maru::model {
namespace {

namespace fs = std::filesystem;

// What keys and values in f16 may change.
constexpr double kDifferenceMax = 5e-3;

const fs::path kPath = fs::path(MARU_SOURCE_DIR) / "tests/data/tiny_models/bert-rank.gguf";

TEST(RankHeadTest, ScoresMatchTheReferenceAloneAndTogether) {
  const auto truth = testing::read_json(fs::path(kPath).replace_extension(".json"));
  const auto file = std::move(gguf::File::open(kPath)).value();
  for (const kernels::KernelTable* kernels : kernels::available_kernels()) {
    ThreadPool pool(2);
    const auto model = std::move(load_encoder(file, {&pool, kernels})).value();
    ASSERT_NE(model->rank_head(), nullptr);
    EXPECT_EQ(model->pooling(), Pooling::kRank);
    const size_t d = model->info().d_model;
    std::vector<std::vector<TokenId>> ids;
    for (const auto& pair : truth["pairs"]) ids.push_back(pair["ids"]);
    std::vector<EmbedText> texts;
    size_t n_rows = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      texts.push_back({ids[i], truth["pairs"][i]["n_first"]});
      n_rows += ids[i].size();
    }
    std::vector<float> together(n_rows * d);
    ASSERT_TRUE(model->embed(texts, together).ok());
    size_t first = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      std::vector<float> alone(ids[i].size() * d);
      ASSERT_TRUE(model->embed(std::span(texts).subspan(i, 1), alone).ok());
      const float score = model->rank_head()->score(std::span(alone).first(d));
      EXPECT_NEAR(score, truth["pairs"][i]["score"].get<double>(), kDifferenceMax) << kernels->isa;
      EXPECT_EQ(score, model->rank_head()->score(std::span(together).subspan(first, d)));
      first += alone.size();
      // That it is a pair counts.
      ASSERT_TRUE(model->embed(std::vector<EmbedText>{{ids[i]}}, alone).ok());
      EXPECT_GT(std::abs(model->rank_head()->score(std::span(alone).first(d)) - score),
                kDifferenceMax);
    }
  }
}

struct Tensor {
  std::string name;
  std::vector<uint64_t> dims;
};

Result<RankHead> load_head(const std::vector<Tensor>& tensors) {
  gguf::Writer writer;
  for (const Tensor& tensor : tensors) {
    uint64_t n = 1;
    for (const uint64_t dim : tensor.dims) n *= dim;
    std::vector<float> values(n, 0.5f);
    writer.add_tensor(tensor.name, tensor::DType::kF32, tensor.dims,
                      std::as_bytes(std::span(values)));
  }
  const fs::path path = fs::path(::testing::TempDir()) / "rank_head_test.gguf";
  EXPECT_TRUE(write_file_atomic(path, writer.finish()).ok());
  const auto file = std::move(gguf::File::open(path)).value();
  return RankHead::load(file, 4);
}

TEST(RankHeadTest, ADenseLayerIsNotNeededAndOneOutputIs) {
  const auto plain = load_head({{"cls.output.weight", {4, 1}}});
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  EXPECT_EQ(plain->score(std::vector<float>{1, 2, 3, -2}), 2.0f);
  const auto with_bias = load_head({{"cls.output.weight", {4}}, {"cls.output.bias", {1}}});
  ASSERT_TRUE(with_bias.ok()) << with_bias.error().message;
  EXPECT_EQ(with_bias->score(std::vector<float>{1, 2, 3, -2}), 2.5f);
  const auto none = load_head({{"other", {4, 4}}});
  EXPECT_FALSE(none.ok());
  const auto classifier = load_head({{"cls.output.weight", {4, 3}}});
  ASSERT_FALSE(classifier.ok());
  EXPECT_EQ(classifier.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(classifier.error().message.find("[3, 4]"), std::string::npos);
  EXPECT_FALSE(load_head({{"cls.weight", {4, 2}}, {"cls.output.weight", {4, 1}}}).ok());
  EXPECT_FALSE(load_head({{"cls.output.weight", {4, 1}}, {"cls.output.bias", {2}}}).ok());
}

}  // namespace
}  // namespace maru::model
