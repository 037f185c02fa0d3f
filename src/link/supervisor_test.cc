#include "link/supervisor.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "link/in_process.h"
#include "link/recorder.h"
#include "link/scripted_engine.h"

namespace maru::link {
namespace {

const SystemClock kClock;

class SupervisorTest : public testing::Test {
 protected:
  Supervisor::Factory factory() {
    return [this](const LoadRequest& load, const StartOptions& start) {
      ++n_started_;
      const Script script = parse_script(R"({"replies": [
          {"match": "die", "text": "a", "fault": "die"},
          {"match": "stall", "text": "a", "fault": "stall"},
          {"text": "fine"}]})")
                                .value();
      return start_in_process([script](int fd) { serve_scripted(fd, script, {.clock = &kClock}); },
                              load, start);
    };
  }

  // The last event of one prompt on the model's engine of the moment.
  GenerateEvent ask(Supervisor& supervisor, const std::string& prompt) {
    auto client = supervisor.client(source("m"));
    if (!client.ok()) return Failed{client.error()};
    Recorder recorder;
    (*client)->generate({.prompt = TextPrompt{prompt}}, recorder.sink());
    return recorder.wait().back();
  }

  static ModelSource source(const std::string& name) {
    return {.model = {.name = name, .file_bytes = 100 << 20}, .load = {.path = name}};
  }
  // Waits until the engines are these: "a ready, b loading".
  static void wait_for(const Supervisor& supervisor, const std::string& want) {
    for (std::string got = "?"; got != want;) {
      got.clear();
      for (const EngineStatus& engine : supervisor.engines()) {
        got += (got.empty() ? "" : ", ") + engine.residency.model + " " +
               std::string(model_state_name(engine.residency.state));
      }
    }
  }

  std::atomic<size_t> n_started_{0};
  ManualClock clock_;
};

TEST_F(SupervisorTest, StartsOnFirstUseAndOnlyOnce) {
  Supervisor supervisor(factory(), {}, clock_);
  EXPECT_TRUE(supervisor.engines().empty());
  std::vector<std::thread> users;
  for (int i = 0; i < 8; ++i) {
    users.emplace_back([&] { EXPECT_TRUE(supervisor.client(source("m")).ok()); });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(n_started_, 1u);
  EXPECT_EQ(supervisor.engines().size(), 1u);
  EXPECT_TRUE(supervisor.client(source("other")).ok());
  EXPECT_EQ(n_started_, 2u);
}

TEST_F(SupervisorTest, StartsAgainAfterACrashAndQuarantinesThePoison) {
  Supervisor supervisor(factory(), {}, clock_);
  for (size_t i = 0; i < kPoisonCrashes; ++i) {
    const auto last = ask(supervisor, "die");
    EXPECT_EQ(std::get<Failed>(last).error.code, ErrorCode::kUnavailable);
  }
  EXPECT_EQ(n_started_, kPoisonCrashes);
  EXPECT_EQ(std::get<Failed>(ask(supervisor, "die")).error.code, ErrorCode::kInternal);
  EXPECT_TRUE(std::holds_alternative<Done>(ask(supervisor, "hello")));
  EXPECT_EQ(n_started_, kPoisonCrashes + 1);  // the poison reached no further engine
}

TEST_F(SupervisorTest, APromptInFlightAtTwoCrashesIsRefusedTheThirdTime) {
  Supervisor supervisor(factory(), {}, clock_);
  for (size_t i = 0; i < kPoisonCrashes + 1; ++i) {
    auto client = supervisor.client(source("m")).value();
    Recorder bystander;
    client->generate({.prompt = TextPrompt{"stall"}}, bystander.sink());
    bystander.wait_for(1);
    if (i == kPoisonCrashes) {  // refused now: two crashes and never an answer
      EXPECT_EQ(std::get<Failed>(bystander.wait().back()).error.code, ErrorCode::kInternal);
      break;
    }
    ask(supervisor, "die " + std::to_string(i));
    EXPECT_TRUE(std::holds_alternative<Failed>(bystander.wait().back()));
  }
  EXPECT_TRUE(std::holds_alternative<Done>(ask(supervisor, "hello")));
}

TEST_F(SupervisorTest, AnEngineThatKeepsDyingIsLeftAloneForAWhile) {
  Supervisor supervisor(factory(), {}, clock_);
  for (size_t i = 0; i < kCrashesMax; ++i) ask(supervisor, "die " + std::to_string(i));
  const auto refused = supervisor.client(source("m"));
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(n_started_, kCrashesMax);
  clock_.advance_ns(kCrashWindowNs);
  EXPECT_TRUE(std::holds_alternative<Done>(ask(supervisor, "hello")));
}

TEST_F(SupervisorTest, ALoadErrorComesBackToAllAndIsTriedAgainAfterARest) {
  std::atomic<size_t> n_tried = 0;
  std::promise<void> go;
  Supervisor supervisor(
      [&, wait = go.get_future().share()](const LoadRequest&,
                                          const StartOptions&) -> Result<std::unique_ptr<Client>> {
        ++n_tried;
        wait.wait();
        return Error::not_found("no such file");
      },
      {}, clock_);
  std::vector<std::future<ErrorCode>> users;
  for (int i = 0; i < 4; ++i) {
    users.push_back(std::async(std::launch::async,
                               [&] { return supervisor.client(source("m")).error().code; }));
  }
  while (supervisor.engines().empty() || supervisor.engines()[0].residency.n_waiting < 4) {
  }
  go.set_value();
  for (auto& user : users) EXPECT_EQ(user.get(), ErrorCode::kNotFound);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(supervisor.client(source("m")).error().message, "no such file");
  }
  EXPECT_EQ(n_tried, 1u);
  clock_.advance_ns(kFailureRestNs);
  EXPECT_EQ(supervisor.client(source("m")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(n_tried, 2u);
}

TEST_F(SupervisorTest, AModelIsInUseUntilItsClientIsLetGo) {
  Supervisor supervisor(factory(), {.keep_alive_ns = 1000}, clock_);
  auto client = supervisor.client(source("m")).value();
  Recorder recorder;
  const RequestId id = client->generate(
      {.prompt = TextPrompt{"stall"}},
      [client, sink = recorder.sink()](GenerateEvent event) { sink(std::move(event)); });
  recorder.wait_for(1);
  client.reset();  // the running request holds it still
  clock_.advance_ns(5000);
  supervisor.look();
  wait_for(supervisor, "m ready");
  EXPECT_EQ(supervisor.engines()[0].residency.n_users, 1u);
  supervisor.engines()[0].client->cancel(id);
  recorder.wait();
  while (supervisor.engines()[0].residency.n_users != 0) {
  }
  supervisor.look();
  wait_for(supervisor, "m ready");
  clock_.advance_ns(1000);
  supervisor.look();
  wait_for(supervisor, "");
  EXPECT_TRUE(supervisor.client(source("m")).ok());
  EXPECT_EQ(n_started_, 2u);
}

TEST_F(SupervisorTest, TheLongestUnusedMakesRoomAndOthersDoNotNotice) {
  Supervisor supervisor(factory(), {.bytes_max = 200 << 20}, clock_);
  EXPECT_TRUE(supervisor.client(source("a")).ok());  // a scripted engine takes nothing
  wait_for(supervisor, "a ready");
  auto big = source("big");
  big.model.file_bytes = 130 << 20;
  EXPECT_TRUE(supervisor.client(big).ok());
  wait_for(supervisor, "a ready, big ready");
  // A crash of one leaves the other alone.
  auto held = supervisor.client(source("a")).value();
  Recorder bystander;
  held->generate({.prompt = TextPrompt{"stall"}}, bystander.sink());
  bystander.wait_for(1);
  auto crashing = supervisor.client(big).value();
  Recorder crash;
  crashing->generate({.prompt = TextPrompt{"die"}}, crash.sink());
  EXPECT_TRUE(std::holds_alternative<Failed>(crash.wait().back()));
  crashing.reset();
  EXPECT_TRUE(held->alive());
  EXPECT_TRUE(supervisor.client(big).ok());
  EXPECT_EQ(n_started_, 3u);
  EXPECT_TRUE(held->alive());
  big.model.file_bytes = 300 << 20;
  big.model.name = "huge";
  EXPECT_EQ(supervisor.client(big).error().code, ErrorCode::kUnsupported);
}

TEST_F(SupervisorTest, ProgressReachesWhoWaitsAndWhoLooks) {
  std::promise<void> go;
  Supervisor supervisor(
      [&, wait = go.get_future().share()](
          const LoadRequest&, const StartOptions& start) -> Result<std::unique_ptr<Client>> {
        start.on_progress({.n_bytes = 3, .n_bytes_total = 10});
        wait.wait();
        return Error::unavailable("died");
      },
      {}, clock_);
  std::promise<Loading> progress;
  std::promise<ErrorCode> end;
  supervisor.want(source("m"), {.on_progress = [&](const Loading& l) { progress.set_value(l); },
                                .on_ready = [&](const auto& r) { end.set_value(r.error().code); }});
  EXPECT_EQ(progress.get_future().get().n_bytes, 3u);
  EXPECT_EQ(supervisor.engines()[0].loading.n_bytes, 3u);
  go.set_value();
  EXPECT_EQ(end.get_future().get(), ErrorCode::kUnavailable);
  wait_for(supervisor, "");
}

TEST_F(SupervisorTest, ShutdownEndsEnginesAndLoads) {
  Supervisor supervisor(factory(), {}, clock_);
  auto held = supervisor.client(source("m")).value();
  Recorder recorder;
  held->generate({.prompt = TextPrompt{"stall"}}, recorder.sink());
  supervisor.shutdown();
  EXPECT_FALSE(held->alive());  // gone by now, although somebody still holds it
  EXPECT_EQ(supervisor.client(source("m")).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(std::holds_alternative<Failed>(recorder.wait().back()));
}

TEST_F(SupervisorTest, ShutdownDoesNotWaitForALoad) {
  std::promise<void> began;
  Supervisor supervisor(
      [&](const LoadRequest& load, const StartOptions& start) {
        // An engine that never answers; it ends when its socket is shut.
        return start_in_process(
            [&](int fd) {
              began.set_value();
              char byte = 0;
              while (::read(fd, &byte, 1) > 0) {
              }
            },
            load, start);
      },
      {}, clock_);
  std::promise<ErrorCode> end;
  supervisor.want(source("m"),
                  {.on_ready = [&](const auto& client) { end.set_value(client.error().code); }});
  began.get_future().wait();
  supervisor.shutdown();
  EXPECT_EQ(end.get_future().get(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace maru::link
