// link/wire_fuzz.cc - frames that were changed at random decode to a value or to an error, never to
// a crash; what decodes also encodes. Seeded; MARU_FUZZ_ITERATIONS makes it longer.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/rng.h"
#include "link/wire_samples.h"

namespace maru::link {
namespace {

size_t n_iterations() {
  const char* wanted = std::getenv("MARU_FUZZ_ITERATIONS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 20'000;
}

std::string mutate(std::string text, const std::vector<std::string>& corpus, Rng& rng) {
  static const std::string kTokens[] = {
      "null", "-1", "1e999", "18446744073709551616", "[]", "{}", "\"\"", "[[[[", "\\u0000", "\xFF",
      "true", "=",  ","};
  for (size_t n = 1 + rng.below(4); n > 0; --n) {
    const size_t at = rng.below(text.size() + 1);
    switch (rng.below(5)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(rng.below(256));
        break;
      case 1:
        text.erase(at, 1 + rng.below(12));
        break;
      case 2:
        text.insert(at, kTokens[rng.below(std::size(kTokens))]);
        break;
      case 3: {  // a value takes the place of another
        const size_t colon = text.find(':', at);
        if (colon == std::string::npos) break;
        const size_t end = text.find_first_of(",}", colon);
        text.replace(colon + 1, end == std::string::npos ? 0 : end - colon - 1,
                     kTokens[rng.below(std::size(kTokens))]);
        break;
      }
      default: {  // the tail of another message
        const std::string& other = corpus[rng.below(corpus.size())];
        text = text.substr(0, at) + other.substr(rng.below(other.size() + 1));
      }
    }
  }
  return text;
}

TEST(WireFuzz, ChangedFramesDecodeOrFail) {
  std::vector<std::string> corpus;
  for (const Command& command : sample_commands()) corpus.push_back(encode_command(7, command));
  for (const EventBody& event : sample_events()) corpus.push_back(encode_event(7, event));
  size_t n_decoded = 0;
  for (uint64_t seed = 0; seed < n_iterations(); ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const std::string text = mutate(corpus[rng.below(corpus.size())], corpus, rng);
    const auto envelope = open_frame(text);
    if (!envelope.ok()) continue;
    const auto command = decode_command(*envelope);
    const auto event = decode_event(*envelope);
    if (command.ok()) EXPECT_TRUE(open_frame(encode_command(envelope->id, *command)).ok());
    if (event.ok()) EXPECT_TRUE(open_frame(encode_event(envelope->id, *event)).ok());
    n_decoded += command.ok() || event.ok();
  }
  EXPECT_GT(n_decoded, n_iterations() / 100);  // the loop reaches beyond the parser
}

}  // namespace
}  // namespace maru::link
