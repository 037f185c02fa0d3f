// Mutated JSON texts: parse_json() answers with a value that survives a round trip, or with an
// error; a text costs at most its size and a bound in memory, whatever its shape.
//
// MARU_FUZZ_ITERATIONS sets how many (default 20000), MARU_FUZZ_SEED the first; a failure prints
// the seed.
#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "base/rng.h"
#include "memory_meter.h"
#include "mutate.h"

namespace maru {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;

constexpr std::string_view kSeeds[] = {
    R"({"model":"m","messages":[{"role":"user","content":"a\u00e9\ud83d\ude00\n"}],"stream":true})",
    R"([0,-1,1.5e300,18446744073709551615,-9223372036854775808,null,true,false,"",[],{}])",
    R"({"a":{"b":{"c":[[[{"d":"\"\\/\b\f\n\r\t"}]]]}},"a":2,"e":"한국어"})",
    R"({"":0,"x":1e-7,"y":123456789012345678901234567890,"z":[1,2,[3,[4,[5]]]]})",
};
constexpr std::string_view kPieces[] = {"[",
                                        "]",
                                        "{",
                                        "}",
                                        ",",
                                        ":",
                                        "\"",
                                        "\\",
                                        "\\u",
                                        "\\ud800",
                                        "1e999",
                                        "-",
                                        "0x",
                                        "1e5",
                                        "null",
                                        "true",
                                        "\xff",
                                        "\xf0\x9f",
                                        "\xc0\x80",
                                        "NaN",
                                        "//",
                                        " ",
                                        "00",
                                        "\n",
                                        "\"a\":",
                                        "\"a\":",
                                        "[[[[",
                                        "{\"a\":",
                                        "\xEF\xBB\xBF",
                                        "\xED\xA0\x80"};

std::string mutated(Rng& rng) {
  std::string text(kSeeds[rng.below(std::size(kSeeds))]);
  if (rng.below(2) == 0) {
    testing_support::mutate_bytes(text, rng);
    return text;
  }
  for (uint64_t n = 1 + rng.below(6); n > 0; --n) {
    const size_t at = rng.below(text.size() + 1);
    if (rng.below(3) == 0) {
      text.erase(at, rng.below(8));
    } else {
      text.insert(at, kPieces[rng.below(std::size(kPieces))]);
    }
  }
  return text;
}

void check_depth(const Json& value, size_t depth) {
  ASSERT_LE(depth, kJsonDepthMax);
  if (value.is_structured()) {
    for (const Json& item : value) check_depth(item, depth + 1);
  }
}

Result<Json> parse_within_bound(const std::string& text) {
  const MemoryMeter meter;
  auto value = parse_json(text);
  EXPECT_LE(meter.peak_bytes(), text.size() + kHostileMemoryMax);
  return value;
}

// True where the text was accepted.
bool parse_and_use(const std::string& text) {
  const auto value = parse_within_bound(text);
  if (!value.ok()) {
    EXPECT_FALSE(value.error().message.empty());
    return false;
  }
  check_depth(*value, 0);
  const std::string written = dump_json(*value);
  const auto again = parse_json(written);
  EXPECT_TRUE(again.ok()) << written;
  if (again.ok()) {
    EXPECT_EQ(dump_json(*again), written);
  }
  return true;
}

TEST(JsonFuzz, MutatedTextsAreRefusedOrSurviveARoundTrip) {
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const uint64_t n = setting("MARU_FUZZ_ITERATIONS", 20'000);
  uint64_t n_accepted = 0;
  testing_support::SlowestInput slowest("JSON");
  for (uint64_t seed = first; seed < first + n; ++seed) {
    Rng rng(seed);
    const std::string text = mutated(rng);
    const std::clock_t begin = std::clock();
    n_accepted += parse_and_use(text) ? 1 : 0;
    slowest.add(seed, begin);
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GE(n_accepted, n / 50);
}

std::string repeated(std::string_view what, size_t n_bytes) {
  std::string text;
  while (text.size() < n_bytes) text += what;
  return text;
}

bool accepted(const std::string& text) { return parse_within_bound(text).ok(); }

// The shapes that cost most per byte, as large as a request may be. A quadratic parser hangs here.
TEST(JsonFuzz, TheWorstShapesCostLittle) {
  constexpr size_t kBytes = 2 << 20;
  for (const std::string_view item : {"0,", "[],", "{},", "\"\",", "{\"\":0},", "[[0]],"}) {
    EXPECT_TRUE(accepted("[" + repeated(item, kBytes) + "0]")) << item;
  }
  std::string keys = "{";
  for (size_t i = 0; keys.size() < kBytes; ++i) keys += "\"" + std::to_string(i) + "\":0,";
  EXPECT_TRUE(accepted(keys + "\"end\":0}"));
  EXPECT_TRUE(accepted("{" + repeated("\"same\":0,", kBytes) + "\"same\":1}"));
  EXPECT_TRUE(accepted("\"" + repeated("\\u0001", kBytes) + "\""));
  EXPECT_FALSE(accepted("[1" + repeated("0", kBytes) + "]"));
}

TEST(JsonFuzz, DepthIsRefusedAtEveryLength) {
  for (size_t depth = kJsonDepthMax + 1; depth <= 1'000'000; depth *= 3) {
    for (const std::string_view open : {"[", "{\"a\":", "[{\"a\":", " [\n"}) {
      EXPECT_FALSE(accepted(repeated(open, depth * open.size()))) << depth << open;
    }
  }
}

}  // namespace
}  // namespace maru
