#include "engine/held_answer.h"

#include <gtest/gtest.h>

#include <map>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/fake_model.h"

namespace maru::engine {
namespace {

constexpr size_t kVocab = 27;  // a to z, and the end

class HeldAnswerTest : public testing::Test {
 protected:
  struct Answer {
    std::string text;
    std::vector<TokenId> ids;
    size_t n_deltas = 0;
    std::optional<FinishReason> reason;
    std::optional<Error> error;
  };

  Answer answer(const std::string& regex, GenerateJob job = {}) {
    Answer answer;
    const auto sink = [&](SequenceId, Event event) {
      if (const auto* delta = std::get_if<Delta>(&event)) {
        answer.text += delta->text;
        answer.ids.insert(answer.ids.end(), delta->ids.begin(), delta->ids.end());
        ++answer.n_deltas;
      } else if (const auto* done = std::get_if<Done>(&event)) {
        answer.reason = done->reason;
      } else if (const auto* failed = std::get_if<Failed>(&event)) {
        answer.error = failed->error;
      }
    };
    auto engine = Engine::create(model_, tokens_, clock_, {.n_ctx = 256, .n_blocks = 8}, sink);
    EXPECT_TRUE(engine.ok());
    auto compiled =
        grammar::CompiledGrammar::make({grammar::GrammarKind::kRegex, regex, {}}, vocabulary_);
    EXPECT_TRUE(compiled.ok());
    job.prompt = {1, 2, 3};
    job.sampling.seed = 5;
    job.grammar = *compiled;
    n_rows_before_ = model_.counters().rows;
    (*engine)->submit(1, std::move(job));
    while ((*engine)->step()) (*engine)->check_integrity();
    return answer;
  }

  FakeModel model_{kVocab};
  TokenTable tokens_ = fake_tokens(kVocab);
  ManualClock clock_;
  std::shared_ptr<const grammar::Vocabulary> vocabulary_ = answer_vocabulary(tokens_);
  uint64_t n_rows_before_ = 0;
};

TEST_F(HeldAnswerTest, TheAnswerIsOfTheGrammar) {
  for (const char* regex : {"[abc]{5}", "x(yes|no)z", "(ab|cd){3}", "[a-z]{0,8}q"}) {
    auto program = grammar::compile({grammar::GrammarKind::kRegex, regex, {}});
    ASSERT_TRUE(program.ok());
    const Answer given = answer(regex);
    EXPECT_EQ(given.reason, FinishReason::kStop);
    EXPECT_TRUE(*grammar::accepts(**program, given.text)) << regex << ": " << given.text;
  }
}

TEST_F(HeldAnswerTest, WhatIsKnownNeedsNoStepOfItsOwn) {
  const Answer given = answer("[ab]hello[cd]world");
  EXPECT_EQ(given.text.size(), 12u);
  EXPECT_EQ(given.n_deltas, 2u);  // two letters were drawn
  // Every token but those after the last that was drawn has been evaluated: 3 of the prompt, 6.
  EXPECT_EQ(model_.counters().rows - n_rows_before_, 9u);
}

TEST_F(HeldAnswerTest, LogprobsComeForEachToken) {
  GenerateJob job;
  job.sampling.want_logprobs = true;
  const Answer given = answer("hello", std::move(job));
  EXPECT_EQ(given.text, "hello");
  EXPECT_EQ(given.n_deltas, 5u);
}

TEST_F(HeldAnswerTest, OtherEndsStayInForce) {
  GenerateJob length;
  length.max_tokens = 3;
  EXPECT_EQ(answer("hello", std::move(length)).text, "hel");
  GenerateJob stop;
  stop.stop = {"lo"};
  const Answer stopped = answer("hello", std::move(stop));
  EXPECT_EQ(stopped.text, "hel");
  EXPECT_EQ(stopped.reason, FinishReason::kStop);
  GenerateJob endless;
  endless.ignore_eos = true;
  const Answer long_one = answer("[ab]{10}|[ab]{20}", std::move(endless));
  EXPECT_EQ(long_one.text.size(), 20u);
  EXPECT_EQ(long_one.reason, FinishReason::kStop);
}

TEST_F(HeldAnswerTest, WhatCannotBeSpelledIsAnError) {
  const Answer given = answer("ab[0-9]");
  ASSERT_TRUE(given.error.has_value());
  EXPECT_EQ(given.error->code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace maru::engine
