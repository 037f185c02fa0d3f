// base/log.h - one line per event on standard error: time, level, text. No prompts, no secrets.
//
// Threads: any; a line is written by one system call, so lines never mix.
#pragma once
#include <fmt/format.h>

#include <string_view>

namespace maru {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Lines below this level are dropped; kInfo at start. Set once, by app.
void set_log_level(LogLevel level);
void log_line(LogLevel level, std::string_view text);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace maru
