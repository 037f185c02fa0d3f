#include "app/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "app/terminal.h"

namespace maru::app {
namespace {

size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string bar(double share, size_t width) {
  const auto full = static_cast<size_t>(share * static_cast<double>(width));
  std::string text;
  for (size_t i = 0; i < width; ++i) text += i < full ? "█" : "░";
  return text;
}

}  // namespace

void ProgressBar::update(const hub::PullProgress& progress) {
  if (progress.stage == hub::PullStage::kWaiting) {
    if (!said_waiting_) {
      write_err(fmt::format("another Maru is fetching {}; waiting for it\n", name_));
    }
    said_waiting_ = true;
    return;
  }
  const double share = progress.bytes_total == 0 ? 0
                                                 : static_cast<double>(progress.bytes_done) /
                                                       static_cast<double>(progress.bytes_total);
  const char* verb = progress.stage == hub::PullStage::kVerifying ? "verifying" : "fetching";
  std::string pace;
  if (progress.bytes_per_second > 0) {
    pace = fmt::format(" {}/s", human_bytes(static_cast<uint64_t>(progress.bytes_per_second)));
    if (progress.seconds_left) pace += " " + human_seconds(*progress.seconds_left);
  }
  const std::string sizes =
      fmt::format("{} / {}", human_bytes(progress.bytes_done), human_bytes(progress.bytes_total));
  if (terminal_) {
    const std::string left = fmt::format("{} {} {:3.0f}% ", verb, name_, share * 100);
    const std::string right = fmt::format(" {}{}", sizes, pace);
    const size_t columns = terminal_columns();
    const size_t taken = left.size() + right.size() + 1;
    const size_t width = columns > taken + 5 ? std::min<size_t>(columns - taken, 40) : 0;
    write_err(fmt::format("\r{}{}{}\x1b[K", left, bar(share, width), right));
    drawn_ = true;
    return;
  }
  const auto tenth = static_cast<uint64_t>(share * 10);
  if (progress.stage != hub::PullStage::kFetching || tenth < next_tenth_) return;
  write_err(fmt::format("{} {}: {:.0f}% ({}){}\n", verb, name_, share * 100, sizes, pace));
  next_tenth_ = tenth + 1;
}

void ProgressBar::finish() {
  if (drawn_) write_err("\r\x1b[K");
  drawn_ = false;
}

}  // namespace maru::app
