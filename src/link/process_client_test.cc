// A real child process: this test program starts itself as a scripted engine (the case
// EngineRole.Run below, which is skipped in an ordinary run).
#include "link/process_client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "link/recorder.h"
#include "link/scripted_engine.h"
#include "link/wire.h"

namespace maru::link {
namespace {

constexpr char kRole[] = "MARU_TEST_SCRIPT";
const SystemClock kClock;

TEST(EngineRole, Run) {
  const char* script = std::getenv(kRole);
  if (script == nullptr) GTEST_SKIP() << "only as a child of ProcessClient tests";
  serve_scripted(kEngineFd, parse_script(script).value(),
                 {.clock = &kClock, .die_by_signal = true});
}

Result<std::unique_ptr<Client>> start(const std::string& script) {
  ProcessOptions options;
  options.argv = {"/proc/self/exe", "--gtest_filter=EngineRole.Run"};
  options.env = {std::string(kRole) + "=" + script};
  return start_process_client(options, {.path = "some.gguf"});
}

GenerateRequest text_request(const std::string& text) { return {.prompt = TextPrompt{text}}; }

TEST(ProcessClient, GeneratesInAChild) {
  const auto client = start(R"({"echo": true})");
  ASSERT_TRUE(client.ok()) << client.error().message;
  Recorder recorder;
  (*client)->generate(text_request("through a process"), recorder.sink());
  EXPECT_EQ(text_of(recorder.wait()), "through a process");
}

TEST(ProcessClient, SaysWhichSignalKilledTheEngine) {
  const auto client = start(R"({"replies": [{"text": "a b", "fault": "die", "fault_after": 1}]})");
  ASSERT_TRUE(client.ok());
  Recorder recorder;
  (*client)->generate(text_request("x"), recorder.sink());
  const auto events = recorder.wait();
  const Error error = std::get<Failed>(events.back()).error;
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_EQ(error.message, "the engine process was killed by signal 9 (Killed)");
}

TEST(ProcessClient, SaysHowAnEngineEndedWhileLoading) {
  ProcessOptions options{.argv = {"/bin/sh", "-c", "exit 7"}, .env = {}};
  const auto client = start_process_client(options, {.path = "m.gguf"});
  EXPECT_EQ(client.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(client.error().message,
            "the engine process ended with exit code 7 while loading m.gguf");
}

TEST(ProcessClient, SaysThatAProgramIsMissing) {
  ProcessOptions options{.argv = {"/no/such/program"}, .env = {}};
  const auto client = start_process_client(options, {});
  EXPECT_EQ(client.error().code, ErrorCode::kIo);
  EXPECT_NE(client.error().message.find("/no/such/program"), std::string::npos);
  EXPECT_NE(client.error().message.find("No such file"), std::string::npos);
}

TEST(ProcessClient, TheChildHasNothingOfOurs) {
  const int secret = ::open("/dev/null", O_RDONLY);  // not close-on-exec
  ASSERT_GE(secret, 0);
  ASSERT_EQ(::setenv("MARU_TEST_SECRET", "1", 1), 0);
  // The shell fails unless descriptors 4 and up are closed and the environment is empty of ours.
  ProcessOptions options{
      .argv = {"/bin/sh", "-c",
               "[ -z \"$MARU_TEST_SECRET\" ] || exit 20; [ -S /dev/fd/3 ] || exit 21; "
               "for f in /proc/self/fd/*; do n=${f##*/}; [ \"$n\" -le 3 ] || "
               "[ ! -e \"/proc/$$/fd/$n\" ] || exit 22; done; exit 9"},
      .env = {}};
  const auto client = start_process_client(options, {});
  EXPECT_NE(client.error().message.find("exit code 9 "), std::string::npos)
      << client.error().message;
  ::close(secret);
}

TEST(ProcessClient, DestructionEndsTheChildAndItsRequests) {
  auto client = start(R"({"replies": [{"text": "a", "fault": "stall"}]})");
  ASSERT_TRUE(client.ok());
  Recorder recorder;
  (*client)->generate(text_request("x"), recorder.sink());
  client->reset();
  EXPECT_TRUE(std::holds_alternative<Failed>(recorder.wait().back()));
}

TEST(ProcessClient, CloseLeavesNoChildBehind) {
  auto client = start(R"({"replies": [{"text": "a", "fault": "stall"}]})");
  ASSERT_TRUE(client.ok());
  Recorder recorder;
  (*client)->generate(text_request("x"), recorder.sink());
  (*client)->close();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  EXPECT_TRUE(std::holds_alternative<Failed>(recorder.wait().back()));
  (*client)->close();  // does nothing
}

}  // namespace
}  // namespace maru::link
