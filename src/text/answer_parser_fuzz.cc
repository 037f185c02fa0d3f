// text/answer_parser_fuzz.cc - answers that were changed at random come apart the same way however
// they are split, and nothing of an answer without calls and reasoning is lost. Seeded;
// MARU_FUZZ_ITERATIONS makes it longer.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/rng.h"
#include "mutate.h"
#include "text/test_answers.h"

namespace maru::text {
namespace {

size_t n_iterations() {
  const char* wanted = std::getenv("MARU_FUZZ_ITERATIONS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 20'000;
}

TEST(AnswerParserFuzz, ChangedAnswers) {
  const auto& answers = test_answers();
  for (uint64_t seed = 1; seed <= n_iterations(); ++seed) {
    Rng rng(seed);
    TestAnswer answer = answers[rng.below(answers.size())];
    const std::string& other = answers[rng.below(answers.size())].text;
    if (!other.empty()) {
      answer.text.insert(rng.below(answer.text.size() + 1), other.substr(rng.below(other.size())));
    }
    if (rng.below(2) == 0) testing_support::mutate_bytes(answer.text, rng, answer.text.size());
    std::vector<std::string> pieces;
    for (size_t at = 0; at < answer.text.size();) {
      const size_t n = 1 + rng.below(9);
      pieces.push_back(answer.text.substr(at, n));
      at += n;
    }
    const AnswerParts whole = parse_answer(answer, {answer.text});
    ASSERT_EQ(parse_answer(answer, pieces), whole) << "seed " << seed << ": " << answer.text;
    size_t n_bytes = 0;
    bool is_text = true;
    for (const AnswerPart& part : whole) {
      n_bytes += part.text.size();
      is_text = is_text && part.kind == AnswerPart::kContent;
    }
    ASSERT_LE(n_bytes, answer.text.size()) << "seed " << seed;
    const bool has_reasoning = !answer.reasoning.empty();
    if (is_text && !has_reasoning) {
      ASSERT_EQ(n_bytes, answer.text.size()) << "seed " << seed << ": " << answer.text;
    }
  }
}

}  // namespace
}  // namespace maru::text
