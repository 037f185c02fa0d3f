#include "link/residency.h"

#include <gtest/gtest.h>

#include <set>

#include "base/rng.h"

namespace maru::link {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kKeepAlive = 100 * kSecond;

// Says what is to be done as text, and remembers who holds what.
class ResidencyTest : public testing::Test {
 protected:
  explicit ResidencyTest(uint64_t bytes_max = 1000 * kMiB) { restart(bytes_max); }

  void restart(uint64_t bytes_max) {
    residency_.emplace(ResidencyOptions{.keep_alive_ns = kKeepAlive,
                                        .bytes_max = bytes_max,
                                        .available = [this] { return available_; }});
  }

  // "start a", "stop a", "serve 1", "refuse 1", one after another.
  std::string acts() {
    std::string out;
    for (auto& act : residency_->take()) {
      if (!out.empty()) out += ", ";
      if (const auto* start = std::get_if<Residency::Start>(&act)) {
        engines_[start->model] = start->engine;
        bytes_max_ = start->bytes_max;
        out += "start " + start->model;
      } else if (const auto* stop = std::get_if<Residency::Stop>(&act)) {
        EXPECT_EQ(engines_[stop->model], stop->engine);
        out += "stop " + stop->model;
      } else if (const auto* serve = std::get_if<Residency::Serve>(&act)) {
        EXPECT_EQ(engines_[serve->model], serve->engine);
        out += "serve " + std::to_string(serve->ticket);
      } else {
        const auto& refuse = std::get<Residency::Refuse>(act);
        error_ = refuse.error;
        out += "refuse " + std::to_string(refuse.ticket);
      }
    }
    return out;
  }
  // Of a file of so many MiB; it needs 64 more.
  std::string want(Residency::Ticket ticket, const std::string& model, uint64_t mib = 100,
                   bool pinned = false) {
    residency_->want(ticket, {model, mib * kMiB, stamp_, pinned}, now_ns_);
    return acts();
  }
  std::string loaded(const std::string& model, uint64_t mib = 200) {
    residency_->loaded(engines_[model], mib * kMiB, 0, now_ns_);
    return acts();
  }
  std::string failed(const std::string& model, const Error& error) {
    residency_->failed(engines_[model], error, now_ns_);
    return acts();
  }
  std::string stopped(const std::string& model) {
    residency_->stopped(engines_[model], now_ns_);
    return acts();
  }
  std::string released(const std::string& model) {
    residency_->released(engines_[model], now_ns_);
    return acts();
  }
  std::string crashed(const std::string& model) {
    residency_->crashed(engines_[model], now_ns_);
    return acts();
  }
  std::string pass(int64_t ns) {
    now_ns_ += ns;
    residency_->look(now_ns_);
    return acts();
  }
  // Loaded, used once and idle since now.
  void rest(Residency::Ticket ticket, const std::string& model, uint64_t mib = 200) {
    EXPECT_EQ(want(ticket, model), "start " + model);
    EXPECT_EQ(loaded(model, mib), "serve " + std::to_string(ticket));
    EXPECT_EQ(released(model), "");
    now_ns_ += kSecond;
  }

  std::optional<Residency> residency_;
  std::map<std::string, Residency::EngineId> engines_;
  uint64_t available_ = 0;
  uint64_t bytes_max_ = 0;
  int64_t now_ns_ = 0;
  int64_t stamp_ = 1;
  Error error_ = Error::internal("none");
};

TEST_F(ResidencyTest, OneLoadServesAllWhoWait) {
  EXPECT_EQ(want(1, "a"), "start a");
  EXPECT_EQ(bytes_max_, 1000 * kMiB);
  EXPECT_EQ(want(2, "a"), "");
  EXPECT_EQ(loaded("a"), "serve 1, serve 2");
  EXPECT_EQ(want(3, "a"), "serve 3");
  const auto status = residency_->status(now_ns_);
  ASSERT_EQ(status.size(), 1u);
  EXPECT_EQ(status[0].n_users, 3u);
  EXPECT_EQ(status[0].bytes, 200 * kMiB);
  EXPECT_EQ(status[0].state, ModelState::kReady);
}

TEST_F(ResidencyTest, AModelThatNobodyUsesGoesAfterAWhile) {
  EXPECT_EQ(want(1, "a"), "start a");
  EXPECT_EQ(loaded("a"), "serve 1");
  EXPECT_EQ(pass(10 * kKeepAlive), "");  // in use
  EXPECT_EQ(released("a"), "");
  EXPECT_EQ(pass(kKeepAlive - 1), "");
  EXPECT_EQ(pass(1), "stop a");
  EXPECT_EQ(want(2, "a"), "");  // waits until it is gone
  EXPECT_EQ(stopped("a"), "start a");
  EXPECT_EQ(loaded("a"), "serve 2");
}

TEST_F(ResidencyTest, APinnedModelStays) {
  EXPECT_EQ(want(1, "a", 100, true), "start a");
  EXPECT_EQ(loaded("a", 900), "serve 1");
  EXPECT_EQ(released("a"), "");
  EXPECT_EQ(pass(10 * kKeepAlive), "");
  EXPECT_EQ(want(2, "b"), "");
  EXPECT_EQ(pass(kMemoryWaitNs), "refuse 2");
  EXPECT_NE(error_.message.find("a (900 MiB) is pinned"), std::string::npos) << error_.message;
}

TEST_F(ResidencyTest, TheLongestUnusedMakesRoom) {
  rest(1, "a", 300);
  rest(2, "b", 300);
  rest(3, "c", 300);
  EXPECT_EQ(want(4, "a"), "serve 4");
  EXPECT_EQ(released("a"), "");
  EXPECT_EQ(want(5, "d"), "stop b");   // 100 are free, 164 needed
  EXPECT_EQ(want(6, "e"), "");         // nothing more goes before b is gone
  EXPECT_EQ(stopped("b"), "start d");  // one at a time
  EXPECT_EQ(loaded("d"), "serve 5, start e");
  EXPECT_EQ(bytes_max_, 200 * kMiB);
}

TEST_F(ResidencyTest, SeveralGoWhereOneIsNotEnoughAndNoneWhereAllAreNotEnough) {
  rest(1, "a", 300);
  rest(2, "b", 300);
  EXPECT_EQ(want(3, "c"), "start c");
  EXPECT_EQ(loaded("c", 300), "serve 3");
  EXPECT_EQ(want(4, "big", 500), "stop a, stop b");
  EXPECT_EQ(stopped("b"), "");
  EXPECT_EQ(stopped("a"), "start big");
  EXPECT_EQ(bytes_max_, 700 * kMiB);
  EXPECT_EQ(loaded("big", 690), "serve 4");
  EXPECT_EQ(want(5, "d", 300), "");  // c and big are in use
  EXPECT_EQ(released("c"), "");      // not enough, so it stays
  EXPECT_EQ(released("big"), "stop big");
}

TEST_F(ResidencyTest, WhoWaitsForModelsInUseIsRefusedInTheEnd) {
  EXPECT_EQ(want(1, "a"), "start a");
  EXPECT_EQ(loaded("a", 900), "serve 1");
  EXPECT_EQ(want(2, "b"), "");
  EXPECT_EQ(want(3, "b"), "");
  EXPECT_EQ(residency_->status(now_ns_)[1].state, ModelState::kWaiting);
  EXPECT_EQ(pass(kMemoryWaitNs - 1), "");
  EXPECT_EQ(pass(1), "refuse 2, refuse 3");
  EXPECT_EQ(error_.code, ErrorCode::kUnavailable);
  EXPECT_NE(error_.message.find("b needs at least 164 MiB"), std::string::npos) << error_.message;
  EXPECT_NE(error_.message.find("a (900 MiB) is in use"), std::string::npos) << error_.message;
  EXPECT_EQ(want(4, "b"), "");  // not a failure: it may try again
  EXPECT_EQ(released("a"), "stop a");
  EXPECT_EQ(stopped("a"), "start b");
}

TEST_F(ResidencyTest, ALoadThatTakesLongIsNoReasonToRefuseThoseBehindIt) {
  EXPECT_EQ(want(1, "a"), "start a");
  EXPECT_EQ(want(2, "b"), "");
  EXPECT_EQ(pass(10 * kMemoryWaitNs), "");
  EXPECT_EQ(loaded("a", 900), "serve 1");  // and now there is no room
  EXPECT_EQ(pass(kMemoryWaitNs - 1), "");
  EXPECT_EQ(pass(1), "refuse 2");
}

TEST_F(ResidencyTest, WhatNeverFitsIsRefusedAtOnce) {
  EXPECT_EQ(want(1, "huge", 2000), "refuse 1");
  EXPECT_EQ(error_.code, ErrorCode::kUnsupported);
  EXPECT_EQ(error_.param, "model");
  EXPECT_NE(error_.message.find("2064 MiB"), std::string::npos) << error_.message;
}

TEST_F(ResidencyTest, TheMachineMayHaveLessThanTheLimit) {
  rest(1, "a", 200);
  available_ = 100 * kMiB;
  EXPECT_EQ(want(2, "b"), "stop a");
  available_ = 300 * kMiB;
  EXPECT_EQ(stopped("a"), "start b");
  EXPECT_EQ(bytes_max_, 300 * kMiB);
  EXPECT_EQ(want(3, "c"), "");
  residency_->loaded(engines_["b"], 100 * kMiB, 150 * kMiB, now_ns_);
  available_ = 290 * kMiB;
  EXPECT_EQ(acts(), "serve 2");
  EXPECT_EQ(pass(1), "");  // b's cache may still grow by 150, which leaves 140 for c
  EXPECT_EQ(released("b"), "stop b");
}

TEST_F(ResidencyTest, WithoutALimitTheFirstModelIsTriedWhateverTheMachineSays) {
  restart(0);
  available_ = 10 * kMiB;
  EXPECT_EQ(want(1, "a"), "start a");
  EXPECT_EQ(bytes_max_, 0u);
  EXPECT_EQ(want(2, "b"), "");
  EXPECT_EQ(loaded("a"), "serve 1");
  EXPECT_EQ(released("a"), "stop a");
  EXPECT_EQ(stopped("a"), "start b");
}

TEST_F(ResidencyTest, AFileThatCannotBeLoadedRestsUnlessItChanges) {
  EXPECT_EQ(want(1, "a"), "start a");
  EXPECT_EQ(want(2, "a"), "");
  EXPECT_EQ(failed("a", Error::corrupt("torn")), "refuse 1, refuse 2");
  EXPECT_EQ(error_.message, "torn");
  now_ns_ += kFailureRestNs - 1;
  EXPECT_EQ(want(3, "a"), "refuse 3");
  EXPECT_EQ(error_.message, "torn");
  now_ns_ += 1;
  EXPECT_EQ(want(4, "a"), "start a");
  EXPECT_EQ(failed("a", Error::corrupt("torn")), "refuse 4");
  stamp_ = 2;
  EXPECT_EQ(want(5, "a"), "start a");
  EXPECT_EQ(residency_->status(now_ns_).size(), 1u);
}

TEST_F(ResidencyTest, AnEngineThatKeepsDyingIsLeftAlone) {
  for (size_t i = 0; i < kCrashesMax; ++i) {
    EXPECT_EQ(want(i, "a"), "start a");
    if (i % 2 == 0) {
      EXPECT_EQ(failed("a", Error::unavailable("died")), "refuse " + std::to_string(i));
    } else {
      loaded("a");
      EXPECT_EQ(crashed("a"), "");
      EXPECT_EQ(released("a"), "");  // of the engine that is gone
    }
  }
  EXPECT_EQ(want(10, "a"), "refuse 10");
  EXPECT_EQ(error_.code, ErrorCode::kUnavailable);
  EXPECT_EQ(want(11, "b"), "start b");  // the others are left alone
  EXPECT_EQ(loaded("b"), "serve 11");
  now_ns_ += kCrashWindowNs;
  EXPECT_EQ(want(12, "a"), "start a");
}

TEST_F(ResidencyTest, OnlySoManyWait) {
  EXPECT_EQ(want(0, "a"), "start a");
  for (size_t i = 1; i < kTicketsMax; ++i) EXPECT_EQ(want(i, "a"), "");
  EXPECT_EQ(want(kTicketsMax, "a"), "refuse " + std::to_string(kTicketsMax));
  EXPECT_EQ(error_.code, ErrorCode::kResourceExhausted);
  loaded("a");
  EXPECT_EQ(want(kTicketsMax + 1, "b"), "start b");
}

// Random requests, loads, ends and crashes: every ticket gets one answer, no model that is in use
// or pinned is stopped, and the limit holds for what runs and loads.
TEST(ResidencySim, EveryRequestGetsOneAnswerAndTheLimitHolds) {
  constexpr uint64_t kLimit = 1000 * kMiB;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Residency residency({.keep_alive_ns = 20 * kSecond, .bytes_max = kLimit});
    struct Engine {
      std::string model;
      bool loading = true;
      bool stopping = false;
      size_t n_users = 0;
      uint64_t bytes = 0;
    };
    std::map<Residency::EngineId, Engine> engines;
    std::set<Residency::Ticket> waiting;
    Residency::Ticket last = 0;
    int64_t now_ns = 0;
    const auto perform = [&] {
      for (auto& act : residency.take()) {
        if (const auto* start = std::get_if<Residency::Start>(&act)) {
          for (const auto& [id, engine] : engines) ASSERT_NE(engine.model, start->model);
          engines[start->engine] = {.model = start->model, .bytes = start->bytes_max};
          uint64_t bytes = 0;
          for (const auto& [id, engine] : engines) bytes += engine.bytes;
          ASSERT_LE(bytes, kLimit);
        } else if (const auto* stop = std::get_if<Residency::Stop>(&act)) {
          Engine& engine = engines.at(stop->engine);
          ASSERT_EQ(engine.n_users, 0u);
          ASSERT_NE(engine.model, "m0");  // pinned
          engine.stopping = true;
        } else if (const auto* serve = std::get_if<Residency::Serve>(&act)) {
          ASSERT_EQ(waiting.erase(serve->ticket), 1u);
          ++engines.at(serve->engine).n_users;
        } else {
          ASSERT_EQ(waiting.erase(std::get<Residency::Refuse>(act).ticket), 1u);
        }
      }
    };
    for (int step = 0; step < 400; ++step) {
      now_ns += static_cast<int64_t>(rng.below(3)) * kSecond;
      const uint64_t number = rng.below(6);
      const auto any =
          engines.empty()
              ? engines.end()
              : std::next(engines.begin(), static_cast<ptrdiff_t>(rng.below(engines.size())));
      switch (rng.below(6)) {
        case 0:
        case 1:
          waiting.insert(++last);
          residency.want(last,
                         {"m" + std::to_string(number), (50 + 100 * number) * kMiB, 1, number == 0},
                         now_ns);
          break;
        case 2:
          if (any == engines.end() || !any->second.loading) break;
          if (rng.below(4) == 0) {
            const auto id = any->first;
            engines.erase(any);
            residency.failed(id, rng.below(2) == 0 ? Error::corrupt("x") : Error::unavailable("x"),
                             now_ns);
          } else {
            any->second.loading = false;
            any->second.bytes = any->second.bytes / (1 + rng.below(3));
            residency.loaded(any->first, any->second.bytes, 0, now_ns);
          }
          break;
        case 3:
          if (any == engines.end() || any->second.n_users == 0) break;
          --any->second.n_users;
          residency.released(any->first, now_ns);
          break;
        case 4:
          if (any == engines.end() || any->second.loading || any->second.stopping) break;
          if (rng.below(8) != 0) break;
          residency.crashed(any->first, now_ns);
          engines.erase(any);
          break;
        default:
          if (any != engines.end() && any->second.stopping) {
            const auto id = any->first;
            engines.erase(any);
            residency.stopped(id, now_ns);
          } else {
            residency.look(now_ns);
          }
      }
      perform();
      if (HasFatalFailure()) return;
    }
    // What is in use is let go, what loads is loaded, what stops ends: nobody is left waiting.
    for (int round = 0; round < 200; ++round) {
      now_ns += kSecond;
      for (auto& [id, engine] : engines) {
        if (engine.loading) {
          engine.loading = false;
          engine.bytes = 64 * kMiB;
          residency.loaded(id, engine.bytes, 0, now_ns);
          break;
        }
        if (engine.stopping) {
          const auto gone = id;
          engines.erase(gone);
          residency.stopped(gone, now_ns);
          break;
        }
        if (engine.n_users > 0) {
          --engine.n_users;
          residency.released(id, now_ns);
          break;
        }
      }
      residency.look(now_ns);
      perform();
      if (HasFatalFailure()) return;
    }
    EXPECT_TRUE(waiting.empty());
  }
}

}  // namespace
}  // namespace maru::link
