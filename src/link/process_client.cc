#include "link/process_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "link/socket_client.h"
#include "link/wire.h"

namespace maru::link {
namespace {

// How long an engine may take to end after its socket was closed, before it is killed.
constexpr int kEndTimeoutMs = 3'000;
constexpr int kExecErrorFd = kEngineFd + 1;
static_assert(kKvFileFd == kExecErrorFd + 1);

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) {
    const char* name = sigdescr_np(WTERMSIG(status));
    return fmt::format("the engine process was killed by signal {} ({})", WTERMSIG(status),
                       name != nullptr ? name : "unknown");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    return fmt::format("the engine process ended with exit code {}", WEXITSTATUS(status));
  }
  return "the engine process ended";
}

class ChildPeer final : public Peer {
 public:
  explicit ChildPeer(pid_t pid) : pid_(pid) {}

  std::string wait_end() override {
    const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    pollfd ended{.fd = pid_fd, .events = POLLIN, .revents = 0};
    int n_ready = -1;
    if (pid_fd >= 0) {
      do {
        n_ready = ::poll(&ended, 1, kEndTimeoutMs);
      } while (n_ready < 0 && errno == EINTR);
      ::close(pid_fd);
    }
    if (n_ready <= 0) ::kill(pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    return describe_end(status);
  }

 private:
  pid_t pid_;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& each : strings) out.push_back(const_cast<char*>(each.c_str()));
  out.push_back(nullptr);
  return out;
}

struct Child {
  pid_t parent;
  // Above kKvFileFd.
  int socket_fd;
  int error_fd;
  int kv_file_fd;  // or -1
  char* const* argv;
  char* const* envp;
};

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void become_engine(const Child& child) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null_fd = ::open("/dev/null", O_RDONLY);
  // The parent may have died before prctl; then nobody would end us.
  const bool ready = ::getppid() == child.parent && null_fd >= 0 && ::dup2(null_fd, 0) == 0 &&
                     ::dup2(2, 1) == 1 && ::dup2(child.socket_fd, kEngineFd) == kEngineFd &&
                     ::dup3(child.error_fd, kExecErrorFd, O_CLOEXEC) == kExecErrorFd &&
                     (child.kv_file_fd < 0 || ::dup2(child.kv_file_fd, kKvFileFd) == kKvFileFd) &&
                     ::close_range(child.kv_file_fd < 0 ? kKvFileFd : kKvFileFd + 1, ~0U, 0) == 0;
  if (ready) ::execve(child.argv[0], child.argv, child.envp);
  const int error = errno;
  [[maybe_unused]] const ssize_t n =
      ::write(ready ? kExecErrorFd : child.error_fd, &error, sizeof error);
  ::_exit(127);
}

Error system_error(const std::string& what, int error) {
  return Error::io(fmt::format("{}: {}", what, std::strerror(error)));
}

// Requires: runs on a thread that lives as long as the child may: the kernel ends the child when
// the thread that started it ends (PR_SET_PDEATHSIG).
Result<Connection> spawn(const ProcessOptions& options) {
  CHECK(!options.argv.empty());
  int sockets[2];
  int error_pipe[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return system_error("cannot make a socket pair for an engine", errno);
  }
  if (::pipe2(error_pipe, O_CLOEXEC) != 0) {
    const int error = errno;
    ::close(sockets[0]);
    ::close(sockets[1]);
    return system_error("cannot make a pipe for an engine", error);
  }
  // Out of the way of the numbers that the child gives them.
  const int socket_fd = ::fcntl(sockets[1], F_DUPFD_CLOEXEC, kKvFileFd + 1);
  const int error_fd = ::fcntl(error_pipe[1], F_DUPFD_CLOEXEC, kKvFileFd + 1);
  const int kv_file_fd =
      options.kv_file_fd < 0 ? -1 : ::fcntl(options.kv_file_fd, F_DUPFD_CLOEXEC, kKvFileFd + 1);
  ::close(sockets[1]);
  ::close(error_pipe[1]);
  const std::vector<char*> argv = pointers(options.argv);
  const std::vector<char*> envp = pointers(options.env);
  const Child child{::getpid(), socket_fd, error_fd, kv_file_fd, argv.data(), envp.data()};
  const pid_t pid = ::fork();
  if (pid == 0) become_engine(child);
  int error = pid < 0 ? errno : 0;
  ::close(socket_fd);
  ::close(error_fd);
  if (kv_file_fd >= 0) ::close(kv_file_fd);
  // The end of this stream, without a byte, is the successful exec.
  if (pid > 0 && ::read(error_pipe[0], &error, sizeof error) != sizeof error) error = 0;
  ::close(error_pipe[0]);
  if (error == 0 && pid > 0) return Connection{sockets[0], std::make_unique<ChildPeer>(pid)};
  ::close(sockets[0]);
  if (pid > 0) ::waitpid(pid, nullptr, 0);
  return system_error(fmt::format("cannot start the engine {}", options.argv[0]), error);
}

}  // namespace

Result<std::unique_ptr<Client>> start_process_client(const ProcessOptions& options,
                                                     const LoadRequest& load,
                                                     const StartOptions& start) {
  return start_socket_client([options] { return spawn(options); }, load, start);
}

}  // namespace maru::link
