#include "app/terminal.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstring>
#include <ctime>
#include <mutex>

namespace maru::app {
namespace {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// The handler writes a byte here and the thread of Interrupts reads it: all that a handler may do.
std::array<int, 2> interrupt_pipe = {-1, -1};
constexpr char kEnd = 0;  // no signal has this number

// Which Interrupts is called. Its mutex is held while it is, so that none is called after its end.
std::mutex innermost_mutex;
Interrupts* innermost = nullptr;

void on_signal(int signal) {
  const int code = errno;
  const char number = static_cast<char>(signal);
  if (::write(interrupt_pipe[1], &number, 1) < 0) {
    // A full pipe holds enough interrupts.
  }
  errno = code;
}

}  // namespace

void write_out(std::string_view text) {
  if (write_all(STDOUT_FILENO, text)) return;
  if (errno != EPIPE) {
    write_err(fmt::format("maru: cannot write to standard output: {}\n", std::strerror(errno)));
  }
  std::_Exit(kExitFailed);
}

void print_json(const Json& value) { write_out(dump_json(value) + "\n"); }

void write_err(std::string_view text) { write_all(STDERR_FILENO, text); }

int usage_error(const std::string& message, const std::string& command) {
  write_err(fmt::format("maru: {}\nRun `maru help{}` for usage.\n", message,
                        command.empty() ? "" : " " + command));
  return kExitUsage;
}

int fail(const Error& error) {
  write_err(fmt::format("maru: {}\n", error.message));
  return kExitFailed;
}

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

std::string human_bytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const int digits = value < 10 && unit > 0 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, digits, kUnits[unit]);
}

std::string human_seconds(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  return fmt::format("{}h {:02}m", whole / 3600, whole / 60 % 60);
}

std::string human_time(int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm local{};
  ::localtime_r(&time, &local);
  std::array<char, 32> text{};
  const size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local);
  return std::string(text.data(), n);
}

Interrupts::Interrupts(std::function<void(int signal)> on_interrupt)
    : on_interrupt_(std::move(on_interrupt)), outer_(innermost) {
  {
    const std::scoped_lock lock(innermost_mutex);
    innermost = this;
  }
  if (outer_ != nullptr) return;
  CHECK(::pipe2(interrupt_pipe.data(), O_CLOEXEC) == 0);
  thread_ = std::thread([] {
    char what = 0;
    while (true) {
      const ssize_t n = ::read(interrupt_pipe[0], &what, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n != 1 || what == kEnd) return;
      const std::scoped_lock lock(innermost_mutex);
      if (innermost != nullptr) innermost->on_interrupt_(what);
    }
  });
  struct sigaction action{};
  action.sa_handler = on_signal;
  // No SA_RESTART: a prompt that waits for a line must notice.
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

Interrupts::~Interrupts() {
  {
    const std::scoped_lock lock(innermost_mutex);
    innermost = outer_;
  }
  if (outer_ != nullptr) return;
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
  CHECK(::write(interrupt_pipe[1], &kEnd, 1) == 1);
  thread_.join();
  ::close(interrupt_pipe[0]);
  ::close(interrupt_pipe[1]);
  interrupt_pipe = {-1, -1};
}

}  // namespace maru::app
