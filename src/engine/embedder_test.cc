#include "engine/embedder.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/fake_model.h"

namespace maru::engine {
namespace {

constexpr size_t kVocab = 40;
constexpr size_t kContext = 300;

class EmbedderTest : public testing::Test {
 protected:
  explicit EmbedderTest(model::Pooling pooling = model::Pooling::kLast)
      : embeddings_(model::embed_with_decoder(model_, pooling)),
        embedder_(*embeddings_, kContext,
                  [this](SequenceId id, Event event) { events_[id].push_back(std::move(event)); }) {
  }

  // Answers all that wait; the number of steps.
  size_t run() {
    size_t n_steps = 0;
    while (embedder_.step()) ++n_steps;
    return n_steps;
  }
  const EmbedDone& done(SequenceId id) { return std::get<EmbedDone>(events_[id].back()); }
  const Error& error(SequenceId id) {
    EXPECT_EQ(events_[id].size(), 1u);
    return std::get<Failed>(events_[id].back()).error;
  }

  FakeModel model_{kVocab};
  std::unique_ptr<model::EmbeddingModel> embeddings_;
  std::map<SequenceId, std::vector<Event>> events_;
  Embedder embedder_;
};

class WithoutPooling : public EmbedderTest {
 protected:
  WithoutPooling() : EmbedderTest(model::Pooling::kNone) {}
};

std::vector<TokenId> ids_from(TokenId first, size_t n) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < n; ++i) ids.push_back((first + static_cast<TokenId>(i)) % kVocab);
  return ids;
}

TEST_F(EmbedderTest, WhatSharesAStepAnswersAsAlone) {
  for (SequenceId id = 0; id < 8; ++id) {
    embedder_.submit(id, {.ids = ids_from(static_cast<TokenId>(id), 60)});
  }
  EXPECT_EQ(embedder_.totals().n_waiting, 8u);
  EXPECT_EQ(run(), 2u);  // four texts of 60 tokens are 240, of 256 that a step takes
  for (SequenceId id = 0; id < 8; ++id) {
    embedder_.submit(100 + id, {.ids = ids_from(static_cast<TokenId>(id), 60)});
    run();
    EXPECT_EQ(done(id).values, done(100 + id).values);
    EXPECT_EQ(done(id).n_prompt, 60u);
  }
  EXPECT_NE(done(0).values, done(1).values);
  EXPECT_EQ(embedder_.totals().n_tokens, 2 * 8 * 60u);
  EXPECT_EQ(embedder_.totals().n_waiting, 0u);
}

TEST_F(EmbedderTest, ShortTextsFillWhatALongOneLeavesFree) {
  const std::vector<size_t> lengths = {200, 200, 50, 200, 50, 50, 6, 56};
  for (SequenceId id = 0; id < lengths.size(); ++id) {
    embedder_.submit(id, {.ids = ids_from(static_cast<TokenId>(id), lengths[id])});
  }
  // 200 50 6 | 200 50 | 200 50 | 56: in their order, the oldest always.
  EXPECT_TRUE(embedder_.step());
  for (const SequenceId id : {0, 2, 6}) EXPECT_EQ(events_.count(id), 1u);
  EXPECT_EQ(events_.size(), 3u);
  EXPECT_EQ(run(), 3u);
  for (SequenceId id = 0; id < lengths.size(); ++id) {
    embedder_.submit(100 + id, {.ids = ids_from(static_cast<TokenId>(id), lengths[id])});
    run();
    EXPECT_EQ(done(id).values, done(100 + id).values);
  }
}

TEST_F(EmbedderTest, ATextThatIsLongerThanAStepHasOneOfItsOwn) {
  embedder_.submit(1, {.ids = ids_from(0, kContext)});
  embedder_.submit(2, {.ids = ids_from(0, 1)});
  EXPECT_EQ(run(), 2u);
  EXPECT_EQ(done(1).n_prompt, kContext);
}

TEST_F(EmbedderTest, PoolsAsAskedAndGivesTheTokensAsTheyAre) {
  using model::Pooling;
  embedder_.submit(1, {.ids = {5, 6, 7}, .want_tokens = true});
  embedder_.submit(2, {.ids = {5, 6, 7}, .pooling = Pooling::kCls});
  embedder_.submit(3, {.ids = {5, 6, 7}, .pooling = Pooling::kMean, .normalize = true});
  embedder_.submit(4, {.ids = {5, 6, 7}, .normalize = true, .want_tokens = true});
  run();
  ASSERT_EQ(events_[1].size(), 4u);
  std::vector<std::vector<float>> rows;
  for (size_t i = 0; i < 3; ++i) rows.push_back(std::get<EmbedRow>(events_[1][i]).values);
  EXPECT_EQ(done(1).values, rows[2]);
  EXPECT_EQ(done(2).values, rows[0]);
  ASSERT_EQ(events_[2].size(), 1u);
  double squares = 0, along = 0;
  for (size_t i = 0; i < FakeModel::kVector; ++i) {
    squares += double{done(3).values[i]} * done(3).values[i];
    along += double{done(3).values[i]} * (rows[0][i] + rows[1][i] + rows[2][i]);
  }
  EXPECT_NEAR(squares, 1, 1e-6);
  EXPECT_GT(along, 0);
  EXPECT_EQ(std::get<EmbedRow>(events_[4][2]).values, rows[2]);
  EXPECT_NE(done(4).values, rows[2]);
}

TEST_F(EmbedderTest, RefusalsSayWhatIsWrong) {
  embedder_.submit(1, {.ids = {}});
  EXPECT_EQ(error(1).code, ErrorCode::kInvalidArgument);
  embedder_.submit(2, {.ids = ids_from(0, kContext + 1)});
  EXPECT_EQ(error(2).param, kContextLengthExceeded);
  EXPECT_NE(error(2).message.find("300"), std::string::npos);
  EXPECT_NE(error(2).message.find("301"), std::string::npos);
  embedder_.submit(3, {.ids = {static_cast<TokenId>(kVocab)}});
  EXPECT_EQ(error(3).param, "ids");
  embedder_.submit(4, {.ids = {-1}});
  EXPECT_EQ(error(4).param, "ids");
  EXPECT_FALSE(embedder_.step());
  for (SequenceId id = 10; id < 10 + kEmbedWaitingMax; ++id) embedder_.submit(id, {.ids = {1}});
  embedder_.submit(5, {.ids = {1}});
  EXPECT_EQ(error(5).code, ErrorCode::kResourceExhausted);
  run();
  for (SequenceId id = 10; id < 10 + kEmbedWaitingMax; ++id) EXPECT_EQ(done(id).n_prompt, 1u);
}

TEST_F(WithoutPooling, TheCallerMustChoose) {
  embedder_.submit(1, {.ids = {1}});
  EXPECT_EQ(error(1).param, "pooling");
  embedder_.submit(2, {.ids = {1}, .pooling = model::Pooling::kMean});
  run();
  EXPECT_EQ(done(2).values.size(), FakeModel::kVector);
}

TEST_F(EmbedderTest, CancelTakesOneOutOfTheQueue) {
  embedder_.submit(1, {.ids = {1, 2}});
  embedder_.submit(2, {.ids = {1, 2}});
  embedder_.cancel(1);
  embedder_.cancel(77);
  EXPECT_EQ(error(1).code, ErrorCode::kCancelled);
  EXPECT_EQ(run(), 1u);
  EXPECT_EQ(done(2).n_prompt, 2u);
  EXPECT_EQ(events_[1].size(), 1u);
  EXPECT_EQ(embedder_.totals().n_cancelled, 1u);
}

TEST_F(EmbedderTest, NumbersThatAreNoneFailTheText) {
  model_.broken = true;
  embedder_.submit(1, {.ids = {1}});
  embedder_.submit(2, {.ids = {1}, .want_tokens = true});
  run();
  EXPECT_EQ(error(1).code, ErrorCode::kCorrupt);
  EXPECT_EQ(error(2).code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace maru::engine
