// bench_model() on a clock that ticks by itself, so that its arithmetic has one right answer; and,
// asked for by name, the real models' speed in CPU time (--gtest_also_run_disabled_tests).
#include "model/bench.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "model_truth.h"
#include "source_dir.h"

namespace maru::model {
namespace {

// One second passes between two looks at it.
class TickingClock final : public Clock {
 public:
  int64_t monotonic_ns() const override { return now_ns_ += 1'000'000'000; }
  int64_t unix_seconds() const override { return 0; }

 private:
  mutable int64_t now_ns_ = 0;
};

// CPU time of the calling thread: other work on the machine does not count.
class CpuClock final : public Clock {
 public:
  int64_t monotonic_ns() const override {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
  }
  int64_t unix_seconds() const override { return 0; }
};

TEST(Bench, CountsTokensOverSeconds) {
  const auto path = std::filesystem::path(MARU_SOURCE_DIR) / "tests/data/tiny_models/llama.gguf";
  auto loaded = testing::LoadedModel::load(path, *kernels::available_kernels().back(), 1);
  ASSERT_TRUE(loaded.ok());
  const size_t prefill[] = {5, 70};
  const size_t contexts[] = {0, 40};
  const auto before = loaded->model->counters().rows;
  const auto result = bench_model(*loaded->model, TickingClock(), {prefill, contexts, 4});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->prefill.size(), 2u);
  EXPECT_EQ(result->prefill[1].n_tokens, 70u);
  EXPECT_DOUBLE_EQ(result->prefill[1].tokens_per_s, 70.0);
  ASSERT_EQ(result->decode.size(), 2u);
  EXPECT_EQ(result->decode[1].context, 40u);
  EXPECT_DOUBLE_EQ(result->decode[1].tokens_per_s, 4.0);
  // 8 to warm up, the prompts, the first 40 positions, and 4 at each context.
  EXPECT_EQ(loaded->model->counters().rows - before, 8u + 5 + 70 + 40 + 2 * 4);
}

TEST(Bench, DISABLED_RealModelsInCpuTime) {
  const char* only = std::getenv("MARU_BENCH_MODEL");
  for (const std::string name :
       {"smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"}) {
    if (only != nullptr && name != only) continue;
    auto loaded = testing::LoadedModel::load(testing::stored_model(name),
                                             *kernels::available_kernels().back(), 1);
    if (!loaded.ok()) continue;
    const size_t prefill[] = {128, 512};
    const size_t contexts[] = {0, 1024};
    const auto result = bench_model(*loaded->model, CpuClock(), {prefill, contexts, 16});
    ASSERT_TRUE(result.ok());
    for (const Speed& s : result->prefill) {
      std::cout << name << " prefill " << s.n_tokens << ": " << s.tokens_per_s << " tok/s\n";
    }
    for (const Speed& s : result->decode) {
      std::cout << name << " decode at " << s.context << ": " << s.tokens_per_s << " tok/s\n";
    }
  }
}

}  // namespace
}  // namespace maru::model
