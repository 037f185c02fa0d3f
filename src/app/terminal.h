// app/terminal.h - what commands share of talking to a person or a program: text out, errors,
// sizes, Ctrl-C.
//
// Threads: print functions from one thread; Interrupts runs its callback on a thread of its own.
#pragma once
#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "base/json.h"
#include "base/result.h"

namespace maru::app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// To standard output, flushed. Where it cannot be written the program ends with kExitFailed:
// quietly if the reader went away (SIGPIPE is ignored), there is nobody left to tell.
void write_out(std::string_view text);
template <class... Args>
void print(fmt::format_string<Args...> format, Args&&... args) {
  write_out(fmt::format(format, std::forward<Args>(args)...));
}
void print_json(const Json& value);  // one line

// To standard error.
void write_err(std::string_view text);
// "maru: MESSAGE" to standard error; gives kExitFailed.
int fail(const Error& error);
// Says what was wrong and where the usage stands (of the whole program where command is empty);
// returns kExitUsage.
int usage_error(const std::string& message, const std::string& command);

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

std::string human_bytes(uint64_t bytes);       // "1.1 GB"
std::string human_seconds(double seconds);     // "1m 20s"
std::string human_time(int64_t unix_seconds);  // "2026-11-22 04:05", in local time

// While it lives, SIGINT and SIGTERM call `on_interrupt` instead of ending the program. A second
// signal within it calls again. One may live within another, which is in force again after it.
class Interrupts {
 public:
  explicit Interrupts(std::function<void(int signal)> on_interrupt);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

 private:
  const std::function<void(int signal)> on_interrupt_;
  Interrupts* const outer_;
  std::thread thread_;  // of the outermost
};

}  // namespace maru::app
