// engine/stop_matcher.h - turns the bytes of tokens into text that may be shown, and finds stop
// strings.
//
// Engine feeds it one token at a time. Held back are the bytes that may still become a stop string
// or that are an unfinished UTF-8 character; everything else goes out at once. Linear in the bytes
// fed, for up to a fixed number of stop strings.
// Source: Knuth, Morris, Pratt 1977 (one automaton per stop string). Threads: one owner.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maru::engine {

inline constexpr size_t kStopStringsMax = 16;
inline constexpr size_t kStopStringBytesMax = 256;

// Errors: kInvalidArgument for too many stop strings, an empty one, or one that is too long.
Result<void> check_stop(const std::vector<std::string>& stop);

class StopMatcher {
 public:
  // Requires: check_stop(stop) is ok.
  explicit StopMatcher(const std::vector<std::string>& stop);

  // Appends to `text` what may be shown now: well-formed UTF-8, ill-formed bytes as U+FFFD.
  // Once a stop string is complete, the text up to its beginning has been appended and further
  // bytes give nothing. Of several that end at the same byte the one that began first counts.
  void feed(std::string_view bytes, std::string& text);

  // Which stop string was found: its index.
  std::optional<size_t> found() const { return found_; }

  // No more bytes come: appends what was held back. An unfinished last character is left out.
  void finish(std::string& text);

 private:
  struct Automaton {
    std::string pattern;
    std::vector<uint16_t> fallback;  // fallback[i]: longest proper border of the first i bytes
    size_t n_matched = 0;
  };

  void release(size_t n_bytes, std::string& text);
  void take(Automaton& automaton, char byte) const;

  std::vector<Automaton> automata_;
  std::string held_;
  std::optional<size_t> found_;
};

}  // namespace maru::engine
