#include "link/harden.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace maru::link {
namespace {

// Runs in a child, which never comes back: what is taken away is not given back.
[[noreturn]] void probe() {
  const std::string level = harden_engine();
  if (level != "seccomp") ::_exit(level.starts_with("none (sanitizer") ? 0 : 1);
  const auto refused = [](long result) { return result < 0 && errno == EPERM; };
  if (!refused(::socket(AF_INET, SOCK_STREAM, 0))) ::_exit(2);
  if (!refused(::open("/tmp/maru-harden-test", O_WRONLY | O_CREAT, 0600))) ::_exit(3);
  if (!refused(::open("/dev/null", O_RDWR))) ::_exit(4);
  if (!refused(::fork())) ::_exit(5);
  if (!refused(::execl("/bin/true", "true", nullptr))) ::_exit(6);
  if (!refused(::unlink("/tmp/maru-harden-test"))) ::_exit(7);
  const int fd = ::open("/proc/meminfo", O_RDONLY);
  char byte = 0;
  if (fd < 0 || ::read(fd, &byte, 1) != 1) ::_exit(8);
  int value = 0;
  std::thread([&] { value = refused(::socket(AF_UNIX, SOCK_STREAM, 0)) ? 1 : 0; }).join();
  ::_exit(value == 1 ? 0 : 9);
}

TEST(HardenDeathTest, TakesSocketsProgramsAndWritingAndLeavesTheRest) {
  EXPECT_EXIT(probe(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace maru::link
