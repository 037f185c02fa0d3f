#include "engine/stop_matcher.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"

namespace maru::engine {
namespace {

std::vector<uint16_t> make_fallback(std::string_view pattern) {
  std::vector<uint16_t> fallback(pattern.size() + 1, 0);
  size_t border = 0;
  for (size_t i = 1; i < pattern.size(); ++i) {
    while (border > 0 && pattern[i] != pattern[border]) border = fallback[border];
    if (pattern[i] == pattern[border]) ++border;
    fallback[i + 1] = static_cast<uint16_t>(border);
  }
  return fallback;
}

}  // namespace

Result<void> check_stop(const std::vector<std::string>& stop) {
  if (stop.size() > kStopStringsMax) {
    return Error::invalid(
        fmt::format("stop may hold at most {} strings, not {}", kStopStringsMax, stop.size()),
        "stop");
  }
  for (const std::string& each : stop) {
    if (each.empty() || each.size() > kStopStringBytesMax) {
      return Error::invalid(fmt::format("a stop string must have 1 to {} bytes, not {}",
                                        kStopStringBytesMax, each.size()),
                            "stop");
    }
  }
  return {};
}

StopMatcher::StopMatcher(const std::vector<std::string>& stop) {
  for (const std::string& pattern : stop) {
    CHECK(!pattern.empty() && pattern.size() <= kStopStringBytesMax);
    automata_.push_back({pattern, make_fallback(pattern), 0});
  }
}

void StopMatcher::take(Automaton& automaton, char byte) const {
  size_t& n = automaton.n_matched;
  while (n > 0 && automaton.pattern[n] != byte) n = automaton.fallback[n];
  if (automaton.pattern[n] == byte) ++n;
}

void StopMatcher::feed(std::string_view bytes, std::string& text) {
  if (found_) return;
  for (const char byte : bytes) {
    held_.push_back(byte);
    for (size_t i = 0; i < automata_.size(); ++i) {
      Automaton& automaton = automata_[i];
      take(automaton, byte);
      if (automaton.n_matched < automaton.pattern.size()) continue;
      if (!found_ || automaton.pattern.size() > automata_[*found_].pattern.size()) found_ = i;
    }
    if (found_) {
      held_.resize(held_.size() - automata_[*found_].pattern.size());
      finish(text);
      return;
    }
  }
  size_t n_undecided = 0;
  for (const Automaton& automaton : automata_) {
    n_undecided = std::max(n_undecided, automaton.n_matched);
  }
  // The undecided bytes are the last ones fed, all of them still held.
  const std::string_view decided(held_.data(), held_.size() - n_undecided);
  release(complete_utf8_prefix(decided), text);
}

void StopMatcher::release(size_t n_bytes, std::string& text) {
  text += replace_invalid_utf8(std::string_view(held_).substr(0, n_bytes));
  held_.erase(0, n_bytes);
}

void StopMatcher::finish(std::string& text) {
  release(complete_utf8_prefix(held_), text);
  held_.clear();
}

}  // namespace maru::engine
