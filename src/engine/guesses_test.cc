// Guesses change no answer: every event of a request is the same with them and without, whatever
// the request asks for.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "engine/engine.h"
#include "engine/fake_model.h"
#include "engine/held_answer.h"

namespace maru::engine {
namespace {

constexpr size_t kVocab = 27;  // a to z, and the end

class GuessesTest : public testing::Test {
 protected:
  GuessesTest() { model_.repeats = true; }

  std::unique_ptr<Engine> make(bool guesses, size_t n_blocks = 32) {
    EngineOptions options{.n_ctx = 512, .n_blocks = n_blocks};
    options.guesses = guesses;
    return Engine::create(model_, tokens_, clock_, options,
                          [this](SequenceId id, Event event) {
                            events_[id] += text_of(event) + "\n";
                            if (const auto* done = std::get_if<Done>(&event)) usage_ = done->usage;
                            if (const auto* delta = std::get_if<Delta>(&event)) {
                              ids_.insert(ids_.end(), delta->ids.begin(), delta->ids.end());
                            }
                          })
        .value();
  }
  // All events of a request, as text.
  std::string run(Engine& engine, const GenerateJob& job) {
    const SequenceId id = ++n_ids_;
    ids_.clear();
    engine.submit(id, job);
    while (engine.step()) engine.check_integrity();
    return std::exchange(events_[id], {});
  }
  std::string run(bool guesses, const GenerateJob& job) { return run(*make(guesses), job); }

  std::shared_ptr<grammar::CompiledGrammar> regex(const std::string& pattern) {
    return grammar::CompiledGrammar::make({grammar::GrammarKind::kRegex, pattern, {}}, vocabulary_)
        .value();
  }

  static std::string text_of(const Event& event) {
    if (const auto* delta = std::get_if<Delta>(&event)) {
      std::string text = fmt::format("{}|{}|", delta->text, fmt::join(delta->ids, ","));
      for (const TokenLogprob& each : delta->logprobs) {
        text += fmt::format("{} {};", each.chosen.id, each.chosen.logprob);
        for (const Candidate& top : each.top) text += fmt::format("{} {},", top.id, top.logprob);
      }
      return text;
    }
    if (const auto* done = std::get_if<Done>(&event)) {
      return fmt::format("done {} {} {}", static_cast<int>(done->reason), done->stop,
                         done->usage.n_generated);
    }
    if (const auto* failed = std::get_if<Failed>(&event)) return "failed " + failed->error.message;
    return "started";
  }

  FakeModel model_{kVocab};
  TokenTable tokens_ = fake_tokens(kVocab);
  ManualClock clock_;
  std::shared_ptr<const grammar::Vocabulary> vocabulary_ = answer_vocabulary(tokens_);
  std::map<SequenceId, std::string> events_;
  SequenceId n_ids_ = 0;
  Usage usage_;               // of the last that was done
  std::vector<TokenId> ids_;  // of the last answer that run() waited for
};

std::vector<TokenId> random_ids(Rng& rng, size_t n) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>(rng.below(kVocab)));
  return ids;
}

GenerateJob random_job(Rng& rng) {
  GenerateJob job{.prompt = random_ids(rng, 1 + rng.below(150))};
  if (rng.below(3) != 0) job.max_tokens = 1 + rng.below(200);
  if (rng.below(3) == 0) job.stop = {"gfag", "nope", "mm"};
  job.ignore_eos = rng.below(2) == 0;
  SamplingParams& sampling = job.sampling;
  sampling.seed = rng.next();
  sampling.temperature = rng.below(3) == 0 ? 0.0f : 0.9f;
  if (rng.below(3) == 0) sampling.top_k = 5;
  if (rng.below(3) == 0) sampling.top_p = 0.9f;
  if (rng.below(4) == 0) sampling.min_p = 0.05f;
  if (rng.below(4) == 0) sampling.typical_p = 0.9f;
  if (rng.below(4) == 0) sampling.frequency_penalty = 0.2f;
  if (rng.below(4) == 0) sampling.presence_penalty = 0.3f;
  if (rng.below(4) == 0) sampling.repetition_penalty = 1.1f;
  if (rng.below(4) == 0) sampling.logit_bias = {{3, -2.0f}, {7, 2.5f}};
  if (rng.below(3) == 0) {
    sampling.want_logprobs = true;
    sampling.n_logprobs = rng.below(4);
  }
  return job;
}

TEST_F(GuessesTest, EveryEventIsTheSame) {
  const std::vector<std::shared_ptr<grammar::CompiledGrammar>> grammars = {
      regex("[a-m]{40,80}"), regex("(abcd|gfag){3,30}z"), regex("x[a-z]{9}(yes|no)[ab]{30}")};
  Rng rng(11);
  const auto with = make(true), without = make(false);
  for (int i = 0; i < 400; ++i) {
    GenerateJob job = random_job(rng);
    if (rng.below(3) == 0) job.grammar = grammars[rng.below(grammars.size())];
    ASSERT_EQ(run(*with, job), run(*without, job)) << "job " << i;
  }
  EXPECT_GT(with->totals().n_guesses_right, 2000u);
  EXPECT_GT(with->totals().n_tokens_guessed - with->totals().n_guesses_right, 500u);
  EXPECT_LT(with->totals().n_steps, without->totals().n_steps * 4 / 5);
  EXPECT_EQ(without->totals().n_tokens_guessed, 0u);
}

// Each of them alone, so that none hides behind the others.
TEST_F(GuessesTest, EverySettingIsTheSame) {
  const std::map<std::string, std::function<void(GenerateJob&)>> settings = {
      {"greedy", [](GenerateJob&) {}},
      {"sampled", [](GenerateJob& job) { job.sampling.temperature = 0.8f; }},
      {"top_p",
       [](GenerateJob& job) {
         job.sampling.temperature = 1;
         job.sampling.top_p = 0.8f;
       }},
      {"frequency penalty", [](GenerateJob& job) { job.sampling.frequency_penalty = 0.3f; }},
      {"presence penalty", [](GenerateJob& job) { job.sampling.presence_penalty = 1.0f; }},
      {"repetition penalty", [](GenerateJob& job) { job.sampling.repetition_penalty = 1.2f; }},
      {"logit_bias", [](GenerateJob& job) { job.sampling.logit_bias = {{4, 3.0f}}; }},
      {"stop", [](GenerateJob& job) { job.stop = {"gv", "vb"}; }},
      {"max_tokens", [](GenerateJob& job) { job.max_tokens = 61; }},
      {"logprobs",
       [](GenerateJob& job) {
         job.sampling.want_logprobs = true;
         job.sampling.n_logprobs = 3;
       }},
      {"grammar", [this](GenerateJob& job) { job.grammar = regex("([a-m]{3}q[a-m]{7}){1,40}z"); }},
  };
  for (const auto& [name, set] : settings) {
    Rng rng(5);
    const auto with = make(true), without = make(false);
    for (int i = 0; i < 20; ++i) {
      GenerateJob job{.prompt = random_ids(rng, 40), .max_tokens = 150, .ignore_eos = true};
      job.sampling.seed = rng.next();
      set(job);
      ASSERT_EQ(run(*with, job), run(*without, job)) << name;
    }
    EXPECT_GT(with->totals().n_guesses_right, 20u) << name;
  }
}

// What a chat left behind is as if nothing had been guessed: the next prompt starts from it, and
// from no token that was not said.
TEST_F(GuessesTest, OnlyWhatWasSaidIsReused) {
  const auto engine = make(true);
  Rng rng(8);
  std::vector<TokenId> history = random_ids(rng, 100);
  for (int turn = 0; turn < 6; ++turn) {
    GenerateJob job{.prompt = history, .max_tokens = 40, .ignore_eos = true};
    const std::string events = run(*engine, job);
    ASSERT_EQ(events, run(false, job));
    const auto more = random_ids(rng, 25);
    history.insert(history.end(), more.begin(), more.end());
  }
  EXPECT_GT(engine->totals().n_guesses_right, 20u);
  EXPECT_EQ(engine->totals().n_blocks_free, 32u);
}

// Cancelled at any step; what it held is free and its beginning of use.
TEST_F(GuessesTest, ACancelBetweenStepsLeavesNothingBehind) {
  Rng rng(9);
  for (int n_steps = 1; n_steps < 40; ++n_steps) {
    const auto engine = make(true, 8);
    const GenerateJob job{.prompt = random_ids(rng, 70), .max_tokens = 200, .ignore_eos = true};
    engine->submit(++n_ids_, job);
    for (int i = 0; i < n_steps && engine->step(); ++i) engine->check_integrity();
    engine->cancel(n_ids_);
    engine->check_integrity();
    EXPECT_EQ(engine->totals().n_blocks_free, 8u);
    ASSERT_EQ(run(*engine, job), run(false, job));
  }
}

// What the caller expects is guessed, and counted; what it expects wrongly changes nothing.
TEST_F(GuessesTest, APredictionHelpsWhereItIsRight) {
  const std::string whole =
      run(false, {.prompt = {4, 9, 2}, .max_tokens = 120, .ignore_eos = true});
  GenerateJob job{.prompt = {4, 9, 2}, .max_tokens = 120, .ignore_eos = true};
  job.prediction = ids_;
  ASSERT_EQ(job.prediction.size(), 120u);
  const auto right = make(true);
  EXPECT_EQ(run(*right, job), whole);
  EXPECT_GT(usage_.n_predicted_right, 90u);
  EXPECT_EQ(usage_.n_predicted_right, right->totals().n_guesses_right);
  EXPECT_LT(usage_.n_predicted_wrong, 10u);  // a short match may be with another place
  for (size_t i = 5; i < job.prediction.size(); i += 9) job.prediction[i] = 26;
  EXPECT_EQ(run(true, job), whole);
  EXPECT_GT(usage_.n_predicted_right, 20u);
  EXPECT_GT(usage_.n_predicted_wrong, 5u);
  job.prediction.assign(513, 1);
  EXPECT_NE(run(true, job).find("the prediction has 513"), std::string::npos);
  job.prediction = {99};
  EXPECT_NE(run(true, job).find("prediction holds token 99"), std::string::npos);
}

TEST_F(GuessesTest, WhereColumnsAreDearNothingIsGuessed) {
  const GenerateJob job{.prompt = {1, 2, 3}, .max_tokens = 100, .ignore_eos = true};
  model_.make_sparse();
  const auto engine = make(true);
  EXPECT_EQ(run(*engine, job), run(false, job));
  EXPECT_EQ(engine->totals().n_tokens_guessed, 0u);
}

// Where a prompt waits for its turn in the step, or many answers go on, nothing is guessed.
TEST_F(GuessesTest, GuessesWaitForOthers) {
  const auto engine = make(true, 64);
  for (SequenceId id = 101; id <= 108; ++id) {
    GenerateJob job{.prompt = {1, 2, 3}, .max_tokens = 100, .ignore_eos = true};
    job.sampling.seed = id;
    engine->submit(id, job);
  }
  for (int i = 0; i < 50; ++i) engine->step();
  EXPECT_EQ(engine->totals().n_running, 8u);
  EXPECT_EQ(engine->totals().n_tokens_guessed, 0u);
  for (SequenceId id = 102; id <= 108; ++id) engine->cancel(id);
  for (int i = 0; i < 20; ++i) engine->step();
  EXPECT_GT(engine->totals().n_tokens_guessed, 0u);
}

}  // namespace
}  // namespace maru::engine
