// The engine on real models (the fixtures' tiny ones, one of each way to remember): what is
// answered beside other sequences, in pieces, from kept blocks and states, from a fork or after
// stepping back is what is answered alone from the start, to the last bit of every log-probability.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "engine/engine.h"
#include "engine/fake_model.h"
#include "model_truth.h"
#include "source_dir.h"

namespace maru::engine {
namespace {

const EngineOptions kOptions = {.n_ctx = 256, .n_blocks = 48, .n_states = 16};

class RealSharing : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto path = std::filesystem::path(MARU_SOURCE_DIR) / "../shared/fixtures/tiny_models" /
                      (std::string(GetParam()) + ".gguf");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no fixture " << GetParam();
    auto loaded =
        testing::LoadedModel::load(path, *kernels::available_kernels().back(), /*n_threads=*/1);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    loaded_ = std::move(loaded).value();
    tokens_.emplace(fake_tokens(loaded_.model->info().n_vocab));
  }

  std::unique_ptr<Engine> make(const EngineOptions& options = kOptions) {
    return Engine::create(*loaded_.model, *tokens_, clock_, options,
                          [this](SequenceId id, Event event) { take(id, std::move(event)); })
        .value();
  }
  bool has_states() const { return loaded_.model->info().state_bytes > 0; }

  struct Answer {
    std::vector<TokenId> ids;
    std::vector<float> logprobs;
    size_t n_cached = 0;
    friend bool operator==(const Answer& a, const Answer& b) {
      return a.ids == b.ids && a.logprobs == b.logprobs;
    }
  };
  std::map<SequenceId, Answer> answers_;

  static GenerateJob job(std::vector<TokenId> prompt, size_t n = 12, float temperature = 0,
                         uint64_t seed = 0) {
    GenerateJob job{.prompt = std::move(prompt), .max_tokens = n, .ignore_eos = true};
    job.sampling.temperature = temperature;
    job.sampling.seed = seed;
    job.sampling.want_logprobs = true;
    return job;
  }
  const Answer& finish(Engine& engine, SequenceId id) {
    while (engine.step()) engine.check_integrity();
    return answers_.at(id);
  }
  Answer alone(GenerateJob job) {
    const auto engine = make();
    engine->submit(1000, std::move(job));
    Answer answer = finish(*engine, 1000);
    answers_.erase(1000);
    return answer;
  }
  std::vector<TokenId> prompt_of(size_t n, size_t step) const {
    std::vector<TokenId> ids;
    const size_t n_vocab = loaded_.model->info().n_vocab;
    for (size_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>(i * step % n_vocab));
    return ids;
  }

  testing::LoadedModel loaded_;
  std::optional<TokenTable> tokens_;
  ManualClock clock_;

 private:
  void take(SequenceId id, Event event) {
    Answer& answer = answers_[id];
    if (const auto* delta = std::get_if<Delta>(&event)) {
      answer.ids.insert(answer.ids.end(), delta->ids.begin(), delta->ids.end());
      for (const TokenLogprob& l : delta->logprobs) answer.logprobs.push_back(l.chosen.logprob);
    } else if (const auto* done = std::get_if<Done>(&event)) {
      answer.n_cached = done->usage.n_cached;
    } else {
      EXPECT_FALSE(std::holds_alternative<Failed>(event));
    }
  }
};

TEST_P(RealSharing, BesideOthersAndFromTheTreeIsAsAloneFromTheStart) {
  const auto engine = make();
  const auto first = prompt_of(100, 31), second = prompt_of(140, 17), third = prompt_of(30, 7);
  engine->submit(1, job(first));
  engine->submit(2, job(second));
  engine->submit(3, job(third));
  EXPECT_EQ(finish(*engine, 1), alone(job(first)));
  EXPECT_EQ(answers_.at(2), alone(job(second)));
  EXPECT_EQ(answers_.at(3), alone(job(third)));
  EXPECT_EQ(answers_.at(1).ids.size(), 12u);
  EXPECT_EQ(answers_.at(1).logprobs.size(), 12u);

  // The chat goes on from its end, the same prompt again, at once and side by side.
  auto longer = first;
  longer.insert(longer.end(), answers_.at(1).ids.begin(), answers_.at(1).ids.end());
  longer.insert(longer.end(), {5, 6, 7});
  engine->submit(4, job(longer));
  engine->submit(5, job(second));
  EXPECT_EQ(finish(*engine, 4), alone(job(longer)));
  EXPECT_EQ(answers_.at(5), alone(job(second)));
  EXPECT_EQ(answers_.at(4).n_cached, 111u);
  EXPECT_EQ(answers_.at(5).n_cached, has_states() ? 128u : 139u);  // a state stands at the border
}

// As the n choices of a request: one evaluates the prompt, the others fork from it.
TEST_P(RealSharing, ForksAreAsFresh) {
  const auto engine = make();
  const auto prompt = prompt_of(100, 31);
  for (SequenceId id = 1; id <= 4; ++id) engine->submit(id, job(prompt, 12, 1.0f, 40 + id));
  finish(*engine, 1);
  for (SequenceId id = 1; id <= 4; ++id) {
    EXPECT_EQ(answers_.at(id), alone(job(prompt, 12, 1.0f, 40 + id)));
    EXPECT_EQ(answers_.at(id).n_cached, id == 1 ? 0u : has_states() ? 64u : 99u);
  }
}

// Two may run, both of one user; then another comes. Whoever steps back goes on to the same end.
TEST_P(RealSharing, SteppingBackChangesNothing) {
  EngineOptions options = kOptions;
  options.n_running_max = 2;
  const auto engine = make(options);
  for (SequenceId id = 1; id <= 3; ++id) engine->submit(id, job(prompt_of(50 + id, 30 + id), 100));
  while (answers_[1].ids.size() < 40) engine->step();
  GenerateJob others = job(prompt_of(70, 9), 40);
  others.claim.user = "another";
  engine->submit(4, others);
  finish(*engine, 1);
  EXPECT_GT(engine->totals().n_stepped_back, 0u);
  for (SequenceId id = 1; id <= 3; ++id) {
    EXPECT_EQ(answers_.at(id), alone(job(prompt_of(50 + id, 30 + id), 100)));
  }
  EXPECT_EQ(answers_.at(4), alone(others));
}

// An expected answer makes guesses, right and wrong ones. Without them it is the same.
TEST_P(RealSharing, GuessesChangeNothing) {
  EngineOptions plain = kOptions;
  plain.guesses = false;
  const auto without = make(plain), with = make();
  SequenceId id = 0;
  for (const float temperature : {0.0f, 0.3f, 1.0f}) {
    GenerateJob asked = job(prompt_of(90, 31), 100, temperature, 5);
    without->submit(++id, asked);
    const Answer expected = finish(*without, id);
    asked.prediction = expected.ids;
    for (size_t i = 6; i < asked.prediction.size(); i += 7) asked.prediction[i] ^= 1;
    with->submit(++id, asked);
    EXPECT_EQ(finish(*with, id), expected);
  }
  EXPECT_EQ(without->totals().n_tokens_guessed, 0u);
  const EngineTotals totals = with->totals();
  if (has_states()) {
    EXPECT_EQ(totals.n_tokens_guessed, 0u);
  } else {
    EXPECT_GT(totals.n_guesses_right, 50u);
    EXPECT_GT(totals.n_tokens_guessed, totals.n_guesses_right + 10);
  }
}

// MHA, GQA with sliding windows, sinks with windows, one latent for all heads, and states.
INSTANTIATE_TEST_SUITE_P(All, RealSharing,
                         ::testing::Values("llama", "gemma3", "gpt-oss", "deepseek2-lite", "lfm2",
                                           "lfm2moe", "mamba2", "qwen3next", "qwen3.5"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase_if(name, [](char c) { return c == '.' || c == '-'; });
                           return name;
                         });

}  // namespace
}  // namespace maru::engine
