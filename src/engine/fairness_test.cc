// What users feel, on simulated time: the real engine with all its parts, on a model whose steps
// take as long as they would on two cores. Nothing here depends on how fast this machine is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "engine/engine.h"
#include "engine/fake_model.h"

namespace maru::engine {
namespace {

constexpr size_t kVocab = 24;
constexpr double kStepSeconds = 0.015;    // of reading the weights
constexpr double kTokenSeconds = 0.0015;  // of one row

// Moves the clock on by what a pass costs.
class TimedModel final : public model::Model {
 public:
  explicit TimedModel(ManualClock& clock) : clock_(clock) {}
  const model::ModelInfo& info() const override { return inner_.info(); }
  Result<std::unique_ptr<model::KvStore>> make_kv_store(size_t n_blocks,
                                                        size_t n_states) const override {
    return inner_.make_kv_store(n_blocks, n_states);
  }
  void forward(std::span<const model::Slice> batch, model::KvStore& kv,
               std::span<float> logits) override {
    inner_.forward(batch, kv, logits);
    size_t n = 0;
    for (const model::Slice& slice : batch) n += slice.tokens.size();
    clock_.advance_ns(
        static_cast<int64_t>((kStepSeconds + kTokenSeconds * static_cast<double>(n)) * 1e9));
  }
  void forward_hidden(std::span<const model::Slice> batch, model::KvStore& kv,
                      std::span<float> hidden) override {
    inner_.forward_hidden(batch, kv, hidden);
  }
  model::Counters counters() const override { return inner_.counters(); }

 private:
  FakeModel inner_{kVocab};
  ManualClock& clock_;
};

class Fairness : public testing::Test {
 protected:
  struct Times {
    int64_t asked_ns = 0;
    std::optional<int64_t> first_ns = {};
    bool ended = false;
  };

  void take(SequenceId id, const Event& event) {
    Times& times = times_[id];
    if (std::holds_alternative<Delta>(event) && !times.first_ns) {
      times.first_ns = clock_->monotonic_ns();
    }
    if (std::holds_alternative<Failed>(event)) ++n_failed_;
    if (std::holds_alternative<Done>(event) || std::holds_alternative<Failed>(event)) {
      times.ended = true;
    }
  }

  // Nine users who ask now and then, maybe beside one who asks without end. Times to the first
  // token of the nine, sorted.
  std::vector<double> light_users(uint64_t seed, bool with_flood) {
    Rng rng(seed);
    clock_ = std::make_unique<ManualClock>();
    TimedModel model(*clock_);
    times_.clear();
    const TokenTable tokens = fake_tokens(kVocab);
    const auto engine =
        Engine::create(model, tokens, *clock_, {.n_ctx = 4096, .n_blocks = 512},
                       [this](SequenceId id, const Event& event) { take(id, event); })
            .value();
    constexpr size_t kUsers = 9, kAsks = 20;
    struct User {
      double next_ask = 0;
      size_t n_asked = 0;
      SequenceId running = 0;
    };
    std::vector<User> users(kUsers);
    for (User& user : users) user.next_ask = rng.uniform() * 60;
    SequenceId next_id = 1;
    const auto ask = [&](const std::string& user, size_t n_prompt, size_t n_answer) {
      GenerateJob job{.max_tokens = n_answer, .ignore_eos = true};
      for (size_t i = 0; i < n_prompt; ++i) {
        job.prompt.push_back(static_cast<TokenId>(rng.below(kVocab)));
      }
      job.claim.user = user;
      const SequenceId id = next_id++;
      times_[id].asked_ns = clock_->monotonic_ns();
      engine->submit(id, std::move(job));
      return id;
    };
    std::vector<SequenceId> light, flood;
    size_t n_left = kUsers * kAsks;
    while (n_left > 0) {
      const double now = static_cast<double>(clock_->monotonic_ns()) / 1e9;
      for (size_t u = 0; u < kUsers; ++u) {
        User& user = users[u];
        if (user.running != 0 && times_.at(user.running).ended) {
          user.running = 0;
          user.next_ask = now + 20 + rng.uniform() * 80;
          --n_left;
        }
        if (user.running == 0 && user.n_asked < kAsks && now >= user.next_ask) {
          user.running =
              ask("user " + std::to_string(u), 200 + rng.below(1000), 20 + rng.below(60));
          ++user.n_asked;
          light.push_back(user.running);
        }
      }
      std::erase_if(flood, [&](SequenceId id) { return times_.at(id).ended; });
      while (with_flood && flood.size() < 100) {
        flood.push_back(ask("flood", 20 + rng.below(400), 50 + rng.below(200)));
      }
      if (!engine->step()) clock_->advance_ns(10'000'000);
    }
    std::vector<double> seconds;
    for (const SequenceId id : light) {
      const Times& times = times_.at(id);
      seconds.push_back(static_cast<double>(*times.first_ns - times.asked_ns) / 1e9);
    }
    std::ranges::sort(seconds);
    return seconds;
  }

  std::unique_ptr<ManualClock> clock_;
  std::map<SequenceId, Times> times_;
  size_t n_failed_ = 0;
};

double percentile(const std::vector<double>& sorted, double p) {
  return sorted[static_cast<size_t>(p * static_cast<double>(sorted.size() - 1))];
}

TEST_F(Fairness, AFloodDoesNotDelayTheFirstTokensOfOthers) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const auto alone = light_users(seed, false);
    const auto beside = light_users(seed, true);
    ASSERT_EQ(alone.size(), beside.size());
    for (const double p : {0.5, 0.95}) {
      std::printf("seed %d, p%.0f: alone %.2f s, beside a flood %.2f s: %.2f\n",
                  static_cast<int>(seed), p * 100, percentile(alone, p), percentile(beside, p),
                  percentile(beside, p) / percentile(alone, p));
    }
    EXPECT_LE(percentile(beside, 0.95), 1.5 * percentile(alone, 0.95)) << "seed " << seed;
  }
  EXPECT_EQ(n_failed_, 0u);
}

}  // namespace
}  // namespace maru::engine
