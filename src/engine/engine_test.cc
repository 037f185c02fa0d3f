#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "engine/fake_model.h"

namespace maru::engine {
namespace {

constexpr size_t kVocab = 40;

class EngineTest : public testing::Test {
 protected:
  std::unique_ptr<Engine> make(const EngineOptions& options) {
    return Engine::create(
               options.n_states > 0 ? recurrent_ : model_, tokens_, clock_, options,
               [this](SequenceId id, Event event) { events_[id].push_back(std::move(event)); })
        .value();
  }
  void run(Engine& engine) {
    while (engine.step()) engine.check_integrity();
  }
  std::vector<TokenId> ids_of(SequenceId id) {
    std::vector<TokenId> ids;
    for (const Event& event : events_[id]) {
      if (const auto* delta = std::get_if<Delta>(&event)) {
        ids.insert(ids.end(), delta->ids.begin(), delta->ids.end());
      }
    }
    return ids;
  }
  const Done& done(SequenceId id) { return std::get<Done>(events_[id].back()); }
  const Error& error(SequenceId id) { return std::get<Failed>(events_[id].back()).error; }

  FakeModel model_{kVocab};
  FakeModel recurrent_{kVocab, /*is_recurrent=*/true};
  TokenTable tokens_ = fake_tokens(kVocab);
  ManualClock clock_;
  std::map<SequenceId, std::vector<Event>> events_;
};

std::vector<TokenId> counting(size_t n) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>(i % (kVocab - 1)));
  return ids;
}

GenerateJob job(std::vector<TokenId> prompt, size_t max_tokens) {
  return {.prompt = std::move(prompt), .max_tokens = max_tokens, .ignore_eos = true};
}

TEST_F(EngineTest, AChatThatGoesOnIsNotEvaluatedAgainAndAnswersTheSame) {
  const auto warm = make({.n_ctx = 512, .n_blocks = 32});
  warm->submit(1, job(counting(150), 20));
  run(*warm);
  std::vector<TokenId> history = counting(150);
  const auto answer = ids_of(1);
  history.insert(history.end(), answer.begin(), answer.end());
  history.insert(history.end(), {1, 2, 3});
  const uint64_t n_rows_before = model_.counters().rows;
  warm->submit(2, job(history, 20));
  run(*warm);
  // All but the last token of the answer had been evaluated; it and the three new ones were not.
  EXPECT_EQ(done(2).usage.n_cached, 169u);
  EXPECT_EQ(model_.counters().rows - n_rows_before, 4u + 19u);
  const auto cold = make({.n_ctx = 512, .n_blocks = 32});
  cold->submit(3, job(history, 20));
  run(*cold);
  EXPECT_EQ(done(3).usage.n_cached, 0u);
  EXPECT_EQ(ids_of(2), ids_of(3));
}

// A state stands at one position: a prompt goes on from the end of what was evaluated, or from the
// last block border of the earlier prompt, and from nowhere else.
TEST_F(EngineTest, AStateIsReusedOnlyWhereItStands) {
  const auto engine = make({.n_ctx = 512, .n_blocks = 32, .n_states = 6});
  const auto cached = [&](SequenceId id, std::vector<TokenId> prompt) {
    engine->submit(id, job(prompt, 20));
    run(*engine);
    const auto cold = make({.n_ctx = 512, .n_blocks = 32, .n_states = 2});
    cold->submit(100 + id, job(std::move(prompt), 20));
    run(*cold);
    EXPECT_EQ(ids_of(id), ids_of(100 + id));
    return done(id).usage.n_cached;
  };
  std::vector<TokenId> history = counting(150);
  EXPECT_EQ(cached(1, history), 0u);
  EXPECT_EQ(cached(2, history), 128u);  // the same prompt again
  const auto answer = ids_of(1);
  history.insert(history.end(), answer.begin(), answer.end());
  history.insert(history.end(), {1, 2, 3});
  EXPECT_EQ(cached(3, history), 169u);  // the chat goes on
  auto other = counting(150);
  other[140] = 7;
  EXPECT_EQ(cached(4, other), 128u);  // another end behind the border
  other[100] = 7;
  EXPECT_EQ(cached(5, other), 0u);  // the border at 64 was not kept
}

// One after the other and at once: each has the answer that it has in an engine of its own, and
// nothing but its own to go on from.
TEST_F(EngineTest, AnAdapterSharesNothingWithOthers) {
  for (const size_t n_states : {0u, 12u}) {
    const EngineOptions options = {
        .n_ctx = 512, .n_blocks = 64, .n_states = n_states, .adapter_keys = {"aa", "bb"}};
    const auto with = [](uint32_t adapter) {
      GenerateJob wanted = job(counting(150), 20);
      wanted.adapter = adapter;
      return wanted;
    };
    events_.clear();
    const auto engine = make(options);
    for (uint32_t adapter = 0; adapter < 3; ++adapter) {
      const auto cold = make(options);
      cold->submit(100 + adapter, with(adapter));
      run(*cold);
      engine->submit(adapter, with(adapter));
      run(*engine);
      EXPECT_EQ(done(adapter).usage.n_cached, 0u);
      EXPECT_EQ(ids_of(adapter), ids_of(100 + adapter));
    }
    EXPECT_NE(ids_of(0), ids_of(1));
    EXPECT_NE(ids_of(1), ids_of(2));
    const auto fresh = make(options);
    for (uint32_t adapter = 0; adapter < 3; ++adapter) {
      engine->submit(10 + adapter, with(adapter));
      fresh->submit(20 + adapter, with(adapter));
    }
    run(*engine);
    run(*fresh);
    for (uint32_t adapter = 0; adapter < 3; ++adapter) {
      EXPECT_EQ(done(10 + adapter).usage.n_cached, n_states == 0 ? 149u : 128u);
      EXPECT_EQ(ids_of(10 + adapter), ids_of(adapter));
      EXPECT_EQ(done(20 + adapter).usage.n_cached, 0u);
      EXPECT_EQ(ids_of(20 + adapter), ids_of(adapter));
    }
  }
}

// With room for one running sequence the second waits, whatever n_running_max says.
TEST_F(EngineTest, StatesLimitWhatRuns) {
  const auto engine = make({.n_ctx = 128, .n_blocks = 8, .n_states = 3});
  engine->submit(1, job(counting(70), 5));
  engine->submit(2, job(counting(70), 5));
  EXPECT_TRUE(engine->step());
  EXPECT_EQ(engine->totals().n_running, 1u);
  EXPECT_EQ(engine->totals().n_waiting, 1u);
  run(*engine);
  EXPECT_EQ(ids_of(1), ids_of(2));
}

// As after kill -9: nothing is left but the file.
TEST_F(EngineTest, ALongChatGoesOnInANewProcess) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  const auto make_durable = [&] {
    auto engine = make({.n_ctx = 1024, .n_blocks = 32});
    engine->keep_on_disk(DiskCache::open({.fd = fileno(file.get()),
                                          .block_bytes = model_.info().kv_block_bytes,
                                          .bytes_max = 1 << 20})
                             .value());
    return engine;
  };
  auto engine = make_durable();
  engine->submit(1, job(counting(600), 20));
  run(*engine);
  EXPECT_EQ(engine->totals().n_blocks_saved, 619u / 64);
  std::vector<TokenId> history = counting(600);
  const auto answer = ids_of(1);
  history.insert(history.end(), answer.begin(), answer.end());
  engine = make_durable();
  const uint64_t n_rows_before = model_.counters().rows;
  engine->submit(2, job(history, 20));
  GenerateJob foreign = job(history, 20);
  foreign.cache_salt = "someone else";
  engine->submit(3, foreign);
  run(*engine);
  EXPECT_EQ(done(2).usage.n_cached, 576u);
  EXPECT_EQ(done(3).usage.n_cached, 0u);
  EXPECT_EQ(model_.counters().rows - n_rows_before, (620u - 576 + 19) + (620 + 19));
  EXPECT_EQ(ids_of(2), ids_of(3));
}

TEST_F(EngineTest, NothingIsReusedAcrossSalts) {
  const auto engine = make({.n_ctx = 512, .n_blocks = 32});
  engine->submit(1, job(counting(150), 5));
  run(*engine);
  GenerateJob other = job(counting(150), 5);
  other.cache_salt = "someone else";
  engine->submit(2, other);
  run(*engine);
  EXPECT_EQ(done(2).usage.n_cached, 0u);
  EXPECT_EQ(ids_of(1), ids_of(2));
}

TEST_F(EngineTest, TellsHowFarALongPromptIs) {
  const auto engine = make({.n_ctx = 4096, .n_blocks = 64});
  GenerateJob curious = job(counting(4000), 3);
  curious.want_progress = true;
  engine->submit(1, curious);
  run(*engine);
  size_t n_last = 0;
  size_t n_events = 0;
  for (const Event& event : events_[1]) {
    const auto* progress = std::get_if<Progress>(&event);
    if (progress == nullptr) continue;
    ++n_events;
    EXPECT_GT(progress->n_evaluated, n_last);
    EXPECT_LT(progress->n_evaluated, 4000u);  // the first token says the rest
    EXPECT_EQ(progress->n_prompt, 4000u);
    n_last = progress->n_evaluated;
  }
  EXPECT_GE(n_events, 1u);
}

TEST_F(EngineTest, NothingIsReusedOfWhatIsNotKept) {
  const auto engine = make({.n_ctx = 512, .n_blocks = 32});
  GenerateJob passing = job(counting(150), 5);
  passing.keep_kv = false;
  engine->submit(1, passing);
  run(*engine);
  EXPECT_EQ(engine->totals().n_blocks_free, 32u);
  engine->submit(2, job(counting(150), 5));
  run(*engine);
  EXPECT_EQ(done(2).usage.n_cached, 0u);
  engine->submit(3, passing);  // it may use what others left
  run(*engine);
  EXPECT_EQ(done(3).usage.n_cached, 149u);
  engine->submit(4, job(counting(150), 5));
  run(*engine);
  EXPECT_EQ(done(4).usage.n_cached, 128u);  // all but the block in which it went on
  EXPECT_EQ(ids_of(1), ids_of(3));
}

TEST_F(EngineTest, WhatDoesNotFitWaitsAndThenRuns) {
  const auto engine = make({.n_ctx = 128, .n_blocks = 3});
  engine->submit(1, job(counting(64), 64));
  engine->submit(2, job(counting(64), 64));  // two blocks each: not both at once
  engine->step();
  EXPECT_EQ(engine->totals().n_running, 1u);
  EXPECT_EQ(engine->totals().n_waiting, 1u);
  run(*engine);
  EXPECT_EQ(done(2).usage.n_generated, 64u);
  EXPECT_EQ(engine->totals().n_blocks_free, 3u);
}

TEST_F(EngineTest, RefusesABeyondTheQueueAndEndsItOnce) {
  const auto engine = make({.n_ctx = 128, .n_blocks = 2, .n_waiting_max = 1});
  engine->submit(1, job(counting(4), 4));
  engine->submit(2, job(counting(4), 4));
  EXPECT_EQ(error(2).code, ErrorCode::kResourceExhausted);
  run(*engine);
  EXPECT_EQ(done(1).reason, FinishReason::kLength);
}

TEST_F(EngineTest, APromptThatDoesNotFitIsRefusedWithBothCounts) {
  const auto engine = make({.n_ctx = 100, .n_blocks = 2});
  engine->submit(1, job(counting(90), 11));
  EXPECT_EQ(error(1).param, kContextLengthExceeded);
  for (const char* number : {"100", "90", "11"}) {
    EXPECT_NE(error(1).message.find(number), std::string::npos);
  }
  engine->submit(2, job(counting(90), 10));
  run(*engine);
  EXPECT_EQ(done(2).usage.n_generated, 10u);
  GenerateJob open_ended = job(counting(90), 0);
  open_ended.max_tokens.reset();
  engine->submit(3, open_ended);
  run(*engine);
  EXPECT_EQ(done(3).usage.n_generated, 10u);
  EXPECT_EQ(done(3).reason, FinishReason::kLength);
}

TEST_F(EngineTest, ZeroTokensAreAnAnswerToo) {
  const auto engine = make({.n_ctx = 100, .n_blocks = 2});
  engine->submit(1, job(counting(5), 0));
  ASSERT_EQ(events_[1].size(), 2u);
  EXPECT_EQ(done(1).usage.n_prompt, 5u);
}

TEST_F(EngineTest, IdsOutOfRangeAreRefused) {
  const auto engine = make({.n_ctx = 100, .n_blocks = 2});
  engine->submit(1, job({static_cast<TokenId>(kVocab)}, 1));
  EXPECT_EQ(error(1).param, "prompt");
  engine->submit(2, ScoreJob{{-1}, 1, 0});
  EXPECT_EQ(error(2).param, "ids");
}

TEST_F(EngineTest, CancelFreesWhatItHeld) {
  const auto engine = make({.n_ctx = 256, .n_blocks = 4});
  engine->submit(1, job(counting(100), 100));
  engine->submit(2, job(counting(100), 100));
  engine->step();
  engine->cancel(1);
  engine->cancel(2);  // while it waits
  engine->check_integrity();
  EXPECT_EQ(done(1).reason, FinishReason::kCancelled);
  EXPECT_EQ(done(2).reason, FinishReason::kCancelled);
  EXPECT_EQ(engine->totals().n_blocks_free, 4u);
  EXPECT_EQ(engine->totals().n_cancelled, 2u);
  EXPECT_FALSE(engine->step());
}

TEST_F(EngineTest, ADamagedModelFailsTheRequestAndNotTheEngine) {
  const auto engine = make({.n_ctx = 256, .n_blocks = 4});
  model_.broken = true;
  engine->submit(1, job(counting(10), 10));
  engine->submit(2, ScoreJob{counting(10), 1, 0});
  run(*engine);
  EXPECT_EQ(error(1).code, ErrorCode::kCorrupt);
  EXPECT_EQ(error(2).code, ErrorCode::kCorrupt);
  model_.broken = false;
  engine->submit(3, job(counting(10), 10));
  run(*engine);
  EXPECT_EQ(done(3).usage.n_cached, 0u);  // nothing of the damaged run was kept
}

TEST_F(EngineTest, ScoresEveryPositionAsALoneRowWould) {
  const auto engine = make({.n_ctx = 256, .n_blocks = 4});
  const auto ids = counting(75);  // three chunks
  engine->submit(1, ScoreJob{ids, 0, kVocab});
  run(*engine);
  const auto& events = events_[1];
  ASSERT_EQ(events.size(), ids.size() + 1);
  const auto& nlls = std::get<ScoreDone>(events.back()).nlls;
  ASSERT_EQ(nlls.size(), ids.size() - 1);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto& top = std::get<ScoreRow>(events[i]).top;
    ASSERT_EQ(top.size(), kVocab);
    double mass = 0;
    for (const auto& [id, logprob] : top) {
      mass += std::exp(static_cast<double>(logprob));
      if (i + 1 < ids.size() && id == ids[i + 1]) EXPECT_NEAR(nlls[i], -logprob, 1e-5);
    }
    EXPECT_NEAR(mass, 1, 1e-4);
  }
  engine->submit(2, ScoreJob{ids, 1, 3});
  run(*engine);
  ASSERT_EQ(events_[2].size(), 2u);
  EXPECT_EQ(std::get<ScoreRow>(events_[2][0]).top[0],
            std::get<ScoreRow>(events[ids.size() - 1]).top[0]);
  EXPECT_EQ(std::get<ScoreDone>(events_[2][1]).nlls, nlls);
}

TEST_F(EngineTest, AnEndTokenEndsUnlessIgnored) {
  const auto engine = make({.n_ctx = 256, .n_blocks = 4});
  const auto eog = static_cast<TokenId>(kVocab - 1);
  GenerateJob stops = job(counting(5), 10);
  stops.ignore_eos = false;
  stops.sampling.temperature = 0;
  stops.sampling.logit_bias = {{eog, 100.0f}};
  GenerateJob goes_on = stops;
  goes_on.ignore_eos = true;
  engine->submit(1, stops);
  engine->submit(2, goes_on);
  run(*engine);
  EXPECT_EQ(done(1).reason, FinishReason::kStop);
  EXPECT_TRUE(ids_of(1).empty());
  EXPECT_EQ(ids_of(2), std::vector<TokenId>(10, eog));
  for (const Event& event : events_[2]) {  // a control token is no text
    if (const auto* delta = std::get_if<Delta>(&event)) EXPECT_EQ(delta->text, "");
  }
}

TEST(BlockPool, HoldsAndLetsGo) {
  BlockPool pool(2);
  const auto a = pool.take();
  pool.share(*a);
  const auto b = pool.take();
  EXPECT_FALSE(pool.take().has_value());
  pool.release(*a);
  pool.check_integrity(std::vector<BlockId>{*a, *b});
  pool.release(*a);
  EXPECT_EQ(pool.n_free(), 1u);
}

TEST(BlockPoolDeathTest, LettingGoTwiceIsABug) {
  BlockPool pool(1);
  const auto a = pool.take();
  pool.release(*a);
  EXPECT_DEATH(pool.release(*a), "CHECK failed");
}

}  // namespace
}  // namespace maru::engine
