#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/utf8.h"

namespace maru::engine {
namespace {

struct Outcome {
  std::string text;
  std::optional<size_t> found;
  bool operator==(const Outcome&) const = default;
};

// The definition: the stop string whose end comes first (the longest of those), searched naively.
Outcome reference(const std::string& bytes, const std::vector<std::string>& stop) {
  for (size_t end = 1; end <= bytes.size(); ++end) {
    std::optional<size_t> best;
    for (size_t i = 0; i < stop.size(); ++i) {
      if (end < stop[i].size()) continue;
      if (bytes.compare(end - stop[i].size(), stop[i].size(), stop[i]) != 0) continue;
      if (!best || stop[i].size() > stop[*best].size()) best = i;
    }
    if (best) {
      const std::string before = bytes.substr(0, end - stop[*best].size());
      return {replace_invalid_utf8(before.substr(0, complete_utf8_prefix(before))), best};
    }
  }
  return {replace_invalid_utf8(bytes.substr(0, complete_utf8_prefix(bytes))), std::nullopt};
}

TEST(StopMatcher, HoldsAStopStringBackAcrossTokens) {
  StopMatcher matcher({"</end>"});
  std::string text;
  matcher.feed("Hello<", text);
  EXPECT_EQ(text, "Hello");
  matcher.feed("/en", text);
  EXPECT_EQ(text, "Hello");
  matcher.feed("d of it", text);
  EXPECT_EQ(text, "Hello</end of it");
  matcher.feed("</end>tail", text);
  EXPECT_EQ(text, "Hello</end of it");
  EXPECT_EQ(matcher.found(), 0u);
}

TEST(StopMatcher, HoldsAnUnfinishedCharacterBack) {
  StopMatcher matcher({});
  std::string text;
  matcher.feed("\xEB\xA7", text);
  EXPECT_EQ(text, "");
  matcher.feed("\x88", text);
  EXPECT_EQ(text, "마");
  matcher.feed("\xEB", text);
  matcher.finish(text);
  EXPECT_EQ(text, "마");
}

TEST(StopMatcher, AgreesWithTheDefinitionOnRandomBytes) {
  const std::vector<std::string> alphabet = {"a", "b", "ab", "마", "\xEB", "\xA7\x88", "\xFF"};
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    Rng rng(seed);
    std::vector<std::string> stop;
    for (size_t n = rng.below(4); n > 0; --n) {
      std::string pattern;
      for (size_t m = 1 + rng.below(4); m > 0; --m) pattern += alphabet[rng.below(alphabet.size())];
      stop.push_back(pattern);
    }
    StopMatcher matcher(stop);
    std::string all;
    std::string text;
    for (size_t n = rng.below(30); n > 0; --n) {
      const std::string& piece = alphabet[rng.below(alphabet.size())];
      all += piece;
      matcher.feed(piece, text);
      EXPECT_TRUE(is_valid_utf8(text)) << "seed " << seed;
    }
    if (!matcher.found()) matcher.finish(text);
    EXPECT_EQ((Outcome{text, matcher.found()}), reference(all, stop)) << "seed " << seed;
  }
}

TEST(CheckStop, NamesTheLimits) {
  EXPECT_TRUE(check_stop({"a", std::string(kStopStringBytesMax, 'x')}).ok());
  EXPECT_EQ(check_stop({""}).error().param, "stop");
  EXPECT_FALSE(check_stop({std::string(kStopStringBytesMax + 1, 'x')}).ok());
  EXPECT_FALSE(check_stop(std::vector<std::string>(kStopStringsMax + 1, "a")).ok());
}

}  // namespace
}  // namespace maru::engine
