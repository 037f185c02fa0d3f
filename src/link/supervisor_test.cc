#include "link/supervisor.h"

#include <gtest/gtest.h>

#include <atomic>
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
    return [this](const LoadRequest& load) {
      ++n_started_;
      const Script script = parse_script(R"({"replies": [
          {"match": "die", "text": "a", "fault": "die"},
          {"match": "stall", "text": "a", "fault": "stall"},
          {"text": "fine"}]})")
                                .value();
      return start_in_process([script](int fd) { serve_scripted(fd, script, {.clock = &kClock}); },
                              load);
    };
  }

  // The last event of one prompt on the model's engine of the moment.
  GenerateEvent ask(Supervisor& supervisor, const std::string& prompt) {
    auto client = supervisor.client({.path = "m"});
    if (!client.ok()) return Failed{client.error()};
    Recorder recorder;
    (*client)->generate({.prompt = TextPrompt{prompt}}, recorder.sink());
    return recorder.wait().back();
  }

  std::atomic<size_t> n_started_{0};
  ManualClock clock_;
};

TEST_F(SupervisorTest, StartsOnFirstUseAndOnlyOnce) {
  Supervisor supervisor(factory(), clock_);
  EXPECT_TRUE(supervisor.running().empty());
  std::vector<std::thread> users;
  for (int i = 0; i < 8; ++i) {
    users.emplace_back([&] { EXPECT_TRUE(supervisor.client({.path = "m"}).ok()); });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(n_started_, 1u);
  EXPECT_EQ(supervisor.running().size(), 1u);
  EXPECT_TRUE(supervisor.client({.path = "other"}).ok());
  EXPECT_EQ(n_started_, 2u);
}

TEST_F(SupervisorTest, StartsAgainAfterACrashAndQuarantinesThePoison) {
  Supervisor supervisor(factory(), clock_);
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
  Supervisor supervisor(factory(), clock_);
  for (size_t i = 0; i < kPoisonCrashes + 1; ++i) {
    auto client = supervisor.client({.path = "m"}).value();
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
  Supervisor supervisor(factory(), clock_);
  for (size_t i = 0; i < kCrashesMax; ++i) ask(supervisor, "die " + std::to_string(i));
  const auto refused = supervisor.client({.path = "m"});
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(n_started_, kCrashesMax);
  clock_.advance_ns(kCrashWindowNs);
  EXPECT_TRUE(std::holds_alternative<Done>(ask(supervisor, "hello")));
}

TEST_F(SupervisorTest, LoadErrorsComeBackAndAreTriedAgain) {
  size_t n_tried = 0;
  Supervisor supervisor(
      [&](const LoadRequest&) -> Result<std::unique_ptr<Client>> {
        ++n_tried;
        return Error::not_found("no such file");
      },
      clock_);
  for (size_t i = 0; i < 2 * kCrashesMax; ++i) {
    EXPECT_EQ(supervisor.client({.path = "m"}).error().code, ErrorCode::kNotFound);
  }
  EXPECT_EQ(n_tried, 2 * kCrashesMax);
}

TEST_F(SupervisorTest, UnloadAndShutdownEndEngines) {
  Supervisor supervisor(factory(), clock_);
  EXPECT_TRUE(supervisor.client({.path = "m"}).ok());
  supervisor.unload("m");
  EXPECT_TRUE(supervisor.running().empty());
  auto held = supervisor.client({.path = "m"}).value();
  EXPECT_EQ(n_started_, 2u);
  Recorder recorder;
  held->generate({.prompt = TextPrompt{"stall"}}, recorder.sink());
  supervisor.shutdown();
  EXPECT_FALSE(held->alive());  // gone by now, although somebody still holds it
  EXPECT_EQ(supervisor.client({.path = "m"}).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(std::holds_alternative<Failed>(recorder.wait().back()));
}

}  // namespace
}  // namespace maru::link
