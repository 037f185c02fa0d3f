// The engine on real models with recurrent states (the fixtures' tiny ones): what is answered from
// kept states, beside other sequences and in pieces, is what is answered alone from the start, to
// the last bit of every log-probability.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "engine/engine.h"
#include "engine/fake_model.h"
#include "model_truth.h"
#include "source_dir.h"

namespace maru::engine {
namespace {

const EngineOptions kOptions = {.n_ctx = 256, .n_blocks = 24, .n_states = 8};

class RealStates : public ::testing::TestWithParam<const char*> {
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

  std::unique_ptr<Engine> make() {
    return Engine::create(*loaded_.model, *tokens_, clock_, kOptions,
                          [this](SequenceId id, Event event) { take(id, std::move(event)); })
        .value();
  }

  struct Answer {
    std::vector<TokenId> ids;
    std::vector<float> logprobs;
    size_t n_cached = 0;
    friend bool operator==(const Answer& a, const Answer& b) {
      return a.ids == b.ids && a.logprobs == b.logprobs;
    }
  };
  std::map<SequenceId, Answer> answers_;

  void submit(Engine& engine, SequenceId id, std::vector<TokenId> prompt) {
    GenerateJob job{.prompt = std::move(prompt), .max_tokens = 12, .ignore_eos = true};
    job.sampling.temperature = 0;
    job.sampling.want_logprobs = true;
    engine.submit(id, std::move(job));
  }
  const Answer& finish(Engine& engine, SequenceId id) {
    while (engine.step()) engine.check_integrity();
    return answers_.at(id);
  }
  Answer alone(std::vector<TokenId> prompt) {
    const auto engine = make();
    submit(*engine, 1000, std::move(prompt));
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

  testing::LoadedModel loaded_;
  std::optional<TokenTable> tokens_;
  ManualClock clock_;
};

TEST_P(RealStates, AnswersFromKeptStatesAreThoseFromTheStart) {
  const auto engine = make();
  const auto first = prompt_of(100, 31), second = prompt_of(140, 17), third = prompt_of(30, 7);
  submit(*engine, 1, first);
  submit(*engine, 2, second);
  submit(*engine, 3, third);
  EXPECT_EQ(finish(*engine, 1), alone(first));
  EXPECT_EQ(answers_.at(2), alone(second));
  EXPECT_EQ(answers_.at(3), alone(third));
  EXPECT_EQ(answers_.at(1).ids.size(), 12u);
  EXPECT_EQ(answers_.at(1).logprobs.size(), 12u);

  // The chat goes on from its end, the same prompt from its border; at once and side by side.
  auto longer = first;
  longer.insert(longer.end(), answers_.at(1).ids.begin(), answers_.at(1).ids.end());
  longer.insert(longer.end(), {5, 6, 7});
  submit(*engine, 4, longer);
  submit(*engine, 5, second);
  submit(*engine, 6, longer);
  EXPECT_EQ(finish(*engine, 4), alone(longer));
  EXPECT_EQ(answers_.at(5), alone(second));
  EXPECT_EQ(answers_.at(6), alone(longer));
  EXPECT_EQ(answers_.at(4).n_cached, 111u);
  EXPECT_EQ(answers_.at(5).n_cached, 128u);
  EXPECT_EQ(answers_.at(6).n_cached, 111u);
}

INSTANTIATE_TEST_SUITE_P(All, RealStates,
                         ::testing::Values("lfm2", "lfm2moe", "mamba2", "qwen3next", "qwen3.5"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '.');
                           return name;
                         });

}  // namespace
}  // namespace maru::engine
