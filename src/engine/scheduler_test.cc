#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/rng.h"

namespace maru::engine {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

class SchedulerTest : public testing::Test {
 protected:
  Scheduler::Answer add(SequenceId id, const std::string& user, size_t n_tokens = 32,
                        WorkClass work_class = WorkClass::kInteractive, size_t n_end = 512) {
    return scheduler_->enqueue({.id = id,
                                .claim = {.user = user, .work_class = work_class},
                                .n_tokens = n_tokens,
                                .n_tokens_end = n_end,
                                .n_chunk_max = 1024},
                               now_ns_);
  }
  void make(const SchedulerLimits& limits) {
    scheduler_ = std::make_unique<Scheduler>(limits);
    n_blocks_ = limits.n_blocks;
  }
  // All decisions that can be made now: positive ids were admitted, negative ones stepped back.
  std::vector<int64_t> decide() {
    std::vector<int64_t> decisions;
    const auto none = [](SequenceId) { return std::optional<size_t>(0); };
    while (const auto decision = scheduler_->decide(now_ns_, n_blocks_, none)) {
      const auto id = static_cast<int64_t>(decision->id);
      decisions.push_back(decision->admit ? id : -id);
      scheduler_->check_integrity();
    }
    return decisions;
  }
  // One step; ids with their tokens.
  std::map<SequenceId, size_t> step(size_t n_tokens) {
    std::map<SequenceId, size_t> done;
    for (const Work& work : scheduler_->plan(n_tokens, now_ns_)) {
      done[work.id] = work.n_tokens;
      left_[work.id] -= std::min(left_[work.id], work.n_tokens);
      scheduler_->advance(work, left_[work.id] == 0 ? 1 : 0);
    }
    return done;
  }

  std::unique_ptr<Scheduler> scheduler_;
  size_t n_blocks_ = 0;
  int64_t now_ns_ = 0;
  std::map<SequenceId, size_t> left_;  // tokens of prompts; answers have none
};

TEST_F(SchedulerTest, TheLeastServedUserIsNextAndThenWhoCameFirst) {
  make({.n_blocks = 100, .n_running_max = 1});
  for (SequenceId id = 1; id <= 3; ++id) add(id, "a");
  add(4, "b");
  left_ = {{1, 32}, {4, 32}};
  EXPECT_EQ(decide(), std::vector<int64_t>{1});
  step(1024);
  scheduler_->remove(1);
  EXPECT_EQ(decide(), std::vector<int64_t>{4});
  step(1024);
  scheduler_->remove(4);
  EXPECT_EQ(decide(), std::vector<int64_t>{2});
}

TEST_F(SchedulerTest, UrgentWorkIsFirstUntilTheOtherHasWaitedLong) {
  make({.n_blocks = 100, .n_running_max = 1});
  add(1, "a", 32, WorkClass::kBackground);
  add(2, "a", 32, WorkClass::kAgent);
  now_ns_ = 5 * kSecond;
  add(3, "a");
  EXPECT_EQ(decide(), std::vector<int64_t>{3});
  scheduler_->remove(3);
  EXPECT_EQ(decide(), std::vector<int64_t>{2});
  scheduler_->remove(2);
  now_ns_ = 25 * kSecond;
  add(4, "a");
  EXPECT_EQ(decide(), std::vector<int64_t>{1});  // waited 25 s: as urgent, and earlier
}

TEST_F(SchedulerTest, AFullHouseMakesRoomForAnotherUserButNotForMoreOfTheSame) {
  make({.n_blocks = 100, .n_running_max = 4});
  for (SequenceId id = 1; id <= 6; ++id) add(id, "a");
  EXPECT_EQ(decide(), (std::vector<int64_t>{1, 2, 3, 4}));
  left_ = {{1, 32}, {2, 32}, {3, 32}, {4, 32}};
  step(1024);
  add(7, "b");
  add(8, "b");
  add(9, "b");
  EXPECT_EQ(decide(), (std::vector<int64_t>{-4, 7, -3, 8}));  // two each
  EXPECT_EQ(scheduler_->n_running(), 4u);
}

TEST_F(SchedulerTest, BackgroundStepsBackForInteractive) {
  make({.n_blocks = 100, .n_running_max = 1});
  add(1, "a", 64, WorkClass::kBackground);
  EXPECT_EQ(decide(), std::vector<int64_t>{1});
  add(2, "a");
  EXPECT_EQ(decide(), std::vector<int64_t>{});  // it has just begun
  left_ = {{1, 64}};
  step(32);
  EXPECT_EQ(decide(), (std::vector<int64_t>{-1, 2}));
}

TEST_F(SchedulerTest, WhatDoesNotFitIsNotOvertaken) {
  make({.n_blocks = 10, .n_running_max = 4});
  add(1, "a", 32, WorkClass::kInteractive, 64);
  EXPECT_EQ(decide(), std::vector<int64_t>{1});
  add(2, "a", 640, WorkClass::kInteractive, 640);
  add(3, "a", 32, WorkClass::kInteractive, 64);
  EXPECT_EQ(decide(), std::vector<int64_t>{});
  scheduler_->remove(1);
  EXPECT_EQ(decide(), std::vector<int64_t>{2});
}

TEST_F(SchedulerTest, LimitsHoldForAllAndForEachUser) {
  make({.n_blocks = 100,
        .n_running_max = 4,
        .n_waiting_max = 3,
        .n_running_user_max = 1,
        .n_waiting_user_max = 2});
  EXPECT_EQ(add(1, "a"), Scheduler::Answer::kAccepted);
  EXPECT_EQ(add(2, "a"), Scheduler::Answer::kAccepted);
  EXPECT_EQ(add(3, "a"), Scheduler::Answer::kTooManyOfUserWait);
  EXPECT_EQ(add(4, "b"), Scheduler::Answer::kAccepted);
  EXPECT_EQ(add(5, "c"), Scheduler::Answer::kTooManyWait);
  EXPECT_EQ(decide(), (std::vector<int64_t>{1, 4}));
}

TEST_F(SchedulerTest, AStepHasEveryAnswerAndTheRestForPrompts) {
  make({.n_blocks = 100});
  for (SequenceId id = 1; id <= 4; ++id) {
    add(id, "a", id == 4 ? 400 : 32);
    left_[id] = id == 4 ? 400 : 32;
  }
  decide();
  EXPECT_EQ(step(96), (std::map<SequenceId, size_t>{{1, 32}, {2, 32}, {3, 32}}));
  EXPECT_EQ(step(96), (std::map<SequenceId, size_t>{{1, 1}, {2, 1}, {3, 1}, {4, 93}}));
  EXPECT_EQ(step(2), (std::map<SequenceId, size_t>{{1, 1}, {2, 1}, {3, 1}, {4, 16}}));
}

TEST_F(SchedulerTest, ManyAnswersOfOneUserYieldToThePromptOfAnother) {
  make({.n_blocks = 1000});
  for (SequenceId id = 1; id <= 40; ++id) {
    add(id, "flood");
    left_[id] = 32;
  }
  decide();
  step(10000);
  add(99, "light", 300);
  left_[99] = 300;
  decide();
  std::map<SequenceId, size_t> n_of;
  for (int i = 0; i < 4; ++i) {
    for (const auto& [id, n] : step(80)) n_of[id] += n;
  }
  EXPECT_EQ(n_of[99], 280u);  // all but a quarter of the other half
  n_of.erase(99);
  for (const auto& [id, n] : n_of) EXPECT_EQ(n, 1u) << id;  // in turns
}

// Two users with endless work of the same kind get tokens as their weights are.
TEST_F(SchedulerTest, SharesFollowWeights) {
  make({.n_blocks = 10000, .n_running_max = 4});
  SequenceId next = 1;
  std::map<SequenceId, std::string> user_of;
  std::map<std::string, size_t> n_of, n_open;
  const auto refill = [&] {
    for (const std::string user : {"one", "three"}) {
      if (n_open[user] >= 8) continue;
      ++n_open[user];
      user_of[next] = user;
      left_[next] = 200;
      scheduler_->enqueue({.id = next,
                           .claim = {.user = user, .weight = user == "one" ? 1u : 3u},
                           .n_tokens = 200,
                           .n_tokens_end = 220,
                           .n_chunk_max = 1024},
                          now_ns_);
      ++next;
    }
  };
  std::map<SequenceId, size_t> n_answered;
  for (int i = 0; i < 20000; ++i) {
    refill();
    decide();
    for (const auto& [id, n] : step(64)) {
      n_of[user_of[id]] += n;
      if (left_[id] > 0 || ++n_answered[id] < 19) continue;
      scheduler_->remove(id);
      --n_open[user_of[id]];
    }
    scheduler_->check_integrity();
  }
  const double ratio = static_cast<double>(n_of["three"]) / static_cast<double>(n_of["one"]);
  EXPECT_NEAR(ratio, 3.0, 0.15);
}

// Users with endless work, of any sizes and weights: for their weights, nobody is ever three turns
// ahead of another, however long it goes on.
TEST_F(SchedulerTest, NoUserGetsFarAheadOfAnother) {
  size_t n_back = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Rng rng(seed);
    make({.n_blocks = 400, .n_running_max = 2 + rng.below(15)});
    left_.clear();
    std::vector<Claim> users;
    for (uint64_t u = 0; u < 2 + rng.below(4); ++u) {
      users.push_back(
          {.user = std::to_string(u), .weight = 1 + static_cast<uint32_t>(rng.below(4))});
    }
    const size_t n_step = 32 + rng.below(200);
    std::map<SequenceId, std::pair<size_t, size_t>> open;  // user, tokens of the answer to come
    std::map<SequenceId, size_t> known;
    std::set<SequenceId> came_back;
    std::vector<size_t> n_open(users.size(), 0);
    SequenceId next = 1;
    for (int i = 0; i < 1500; ++i) {
      for (size_t u = 0; u < users.size(); ++u) {
        while (n_open[u] < 20) {
          const size_t n_prompt = 1 + rng.below(400), n_answer = 1 + rng.below(100);
          scheduler_->enqueue({.id = next,
                               .claim = users[u],
                               .n_tokens = n_prompt,
                               .n_tokens_end = n_prompt + n_answer,
                               .n_chunk_max = 1024},
                              now_ns_);
          known[next] = left_[next] = n_prompt;
          open[next++] = {u, n_answer};
          ++n_open[u];
        }
      }
      const auto none = [](SequenceId) { return std::optional<size_t>(0); };
      while (const auto decision = scheduler_->decide(now_ns_, 400, none)) {
        size_t& n_known = known[decision->id];
        if (!decision->admit) {
          n_back += 1;
          came_back.insert(decision->id);
        } else if (came_back.contains(decision->id) && n_known > 1) {
          scheduler_->skip(decision->id, n_known - 1);  // its blocks were still there
          left_[decision->id] = 1;
        }
      }
      for (const Work& work : scheduler_->plan(n_step, now_ns_)) {
        auto& [u, n_answer] = open.at(work.id);
        left_[work.id] -= std::min(left_[work.id], work.n_tokens);
        const bool is_over = left_[work.id] == 0 && --n_answer == 0;
        const size_t n_new = left_[work.id] == 0 && !is_over ? 1 : 0;
        scheduler_->advance(work, n_new);
        known[work.id] += n_new;
        if (!is_over) continue;
        --n_open[u];
        open.erase(work.id);
        left_.erase(work.id);
        scheduler_->remove(work.id);
      }
      double least = 1e300, most = 0;
      for (const Claim& claim : users) {
        least = std::min(least, scheduler_->served(claim.user));
        most = std::max(most, scheduler_->served(claim.user));
      }
      ASSERT_LE(most - least, 3 * kTurnTokens) << "seed " << seed << ", step " << i;
    }
  }
  EXPECT_GT(n_back, 0u);
}

}  // namespace
}  // namespace maru::engine
