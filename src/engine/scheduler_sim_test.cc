// engine/scheduler_sim_test.cc - the whole engine in a seeded simulation: random arrivals, cancels,
// limits and speeds, on a model whose logits betray any mistake with blocks or positions.
//
// The engine is killed now and then, and a new one finds what the old one had on disk. After every
// step all invariants hold; at the end every request had exactly one last event, and its tokens are
// those it gets alone on an empty engine. A failure is one seed; MARU_FUZZ_ITERATIONS runs more.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "engine/engine.h"
#include "engine/fake_model.h"

namespace maru::engine {
namespace {

constexpr size_t kVocab = 24;

struct Answer {
  std::vector<TokenId> ids;
  std::string text;
  std::vector<double> nlls;
  size_t n_rows = 0;
  std::optional<Event> last;
  size_t n_cached = 0;
};

class Run {
 public:
  // A model with states where the options have room for some.
  Run(const EngineOptions& options, const Clock& clock)
      : model_(kVocab, options.n_states > 0), tokens_(fake_tokens(kVocab)) {
    model_.repeats = true;
    engine_ = Engine::create(model_, tokens_, clock, options, [this](SequenceId id, Event event) {
                take(answers[id], std::move(event));
              }).value();
  }

  Engine& engine() { return *engine_; }

  // Conversations that ended go to this file and come back from it.
  void keep_on_disk(int fd) {
    engine_->keep_on_disk(
        DiskCache::open(
            {.fd = fd, .block_bytes = model_.info().kv_block_bytes, .bytes_max = 200'000})
            .value());
  }
  // What a gateway says of the requests of an engine that died.
  void fail_open() {
    for (auto& [id, answer] : answers) {
      if (!answer.last) answer.last = Failed{Error::unavailable("the engine was killed")};
    }
  }
  std::map<SequenceId, Answer> answers;

 private:
  static void take(Answer& answer, Event event) {
    CHECK(!answer.last);  // nothing comes after the last event
    if (auto* delta = std::get_if<Delta>(&event)) {
      answer.ids.insert(answer.ids.end(), delta->ids.begin(), delta->ids.end());
      answer.text += delta->text;
    } else if (std::holds_alternative<ScoreRow>(event)) {
      ++answer.n_rows;
    } else if (!std::holds_alternative<Started>(event)) {
      if (auto* scored = std::get_if<ScoreDone>(&event)) answer.nlls = scored->nlls;
      if (auto* done = std::get_if<Done>(&event)) answer.n_cached = done->usage.n_cached;
      answer.last = std::move(event);
    }
  }

  FakeModel model_;
  TokenTable tokens_;
  std::unique_ptr<Engine> engine_;
};

// A clock on which every look costs time, now more and now less: it drives the step budget.
class WornClock final : public Clock {
 public:
  explicit WornClock(uint64_t seed) : rng_(seed) {}
  int64_t monotonic_ns() const override {
    return now_ns_ += static_cast<int64_t>(rng_.below(200'000'000));
  }
  int64_t unix_seconds() const override { return 0; }

 private:
  mutable Rng rng_;
  mutable int64_t now_ns_ = 0;
};

std::vector<TokenId> random_ids(Rng& rng, size_t n) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>(rng.below(kVocab)));
  return ids;
}

GenerateJob random_job(Rng& rng, const std::vector<GenerateJob>& earlier, size_t n_ctx) {
  GenerateJob job;
  job.prompt = random_ids(rng, 1 + rng.below(rng.below(4) == 0 ? n_ctx + 8 : 40));
  if (!earlier.empty() && rng.below(2) == 0) {  // a chat that goes on, or one that begins alike
    const auto& old = earlier[rng.below(earlier.size())].prompt;
    std::vector<TokenId> prompt(old.begin(),
                                old.begin() + static_cast<ptrdiff_t>(rng.below(old.size() + 1)));
    prompt.insert(prompt.end(), job.prompt.begin(),
                  job.prompt.begin() + static_cast<ptrdiff_t>(
                                           1 + rng.below(std::min<size_t>(job.prompt.size(), 30))));
    job.prompt = std::move(prompt);
  }
  if (rng.below(4) != 0) job.max_tokens = rng.below(40);
  if (rng.below(4) == 0) job.stop = {"ab", "c"};
  job.ignore_eos = rng.below(4) == 0;
  job.sampling.seed = rng.next();
  job.sampling.temperature = rng.below(3) == 0 ? 0.0f : 1.0f;
  job.sampling.top_k = 5;
  job.sampling.frequency_penalty = rng.below(3) == 0 ? 1.0f : 0.0f;
  job.cache_salt = rng.below(3) == 0 ? "other" : "";
  job.claim.user = std::string(1, static_cast<char>('a' + rng.below(3)));
  job.claim.weight = 1 + static_cast<uint32_t>(rng.below(3));
  job.claim.work_class = static_cast<WorkClass>(rng.below(3));
  return job;
}

// The same job alone on an engine that never saw anything else and guesses nothing.
Answer alone(const GenerateJob& job, EngineOptions options) {
  const ManualClock clock;
  options.guesses = false;
  Run run(options, clock);
  run.engine().submit(1, job);
  while (run.engine().step()) {
  }
  return run.answers.at(1);
}

// The most of a prompt that requests of its own salt can have left behind.
size_t cachable(const GenerateJob& job, const std::vector<GenerateJob>& jobs,
                const std::map<SequenceId, size_t>& job_of,
                const std::map<SequenceId, Answer>& answers) {
  size_t most = 0;
  for (const auto& [id, i] : job_of) {
    if (jobs[i].cache_salt != job.cache_salt) continue;
    if (&jobs[i] == &job) continue;
    std::vector<TokenId> text = jobs[i].prompt;
    const Answer& answer = answers.at(id);
    text.insert(text.end(), answer.ids.begin(), answer.ids.end());
    const auto n = std::ranges::mismatch(text, job.prompt).in1 - text.begin();
    most = std::max(most, static_cast<size_t>(n));
  }
  return most;
}

// What happened in all runs, so that what is hard to reach is known to have been reached.
struct Reached {
  uint64_t n_stepped_back = 0;
  uint64_t n_refused = 0;
  uint64_t n_cached = 0;
  uint64_t n_cancelled = 0;
  uint64_t n_saved = 0;
  uint64_t n_brought_back = 0;
  uint64_t n_killed = 0;
  uint64_t n_guessed = 0;
  uint64_t n_guessed_right = 0;

  void add(const EngineTotals& totals) {
    n_stepped_back += totals.n_stepped_back;
    n_refused += totals.n_refused;
    n_cached += totals.n_tokens_cached;
    n_cancelled += totals.n_cancelled;
    n_saved += totals.n_blocks_saved;
    n_brought_back += totals.n_blocks_brought_back;
    n_guessed += totals.n_tokens_guessed;
    n_guessed_right += totals.n_guesses_right;
  }
};

void simulate(uint64_t seed, Reached& reached) {
  Rng rng(seed);
  EngineOptions options;
  options.n_ctx = 65 + rng.below(200);
  options.n_blocks = (options.n_ctx + 63) / 64 + rng.below(8);
  options.n_running_max = 1 + rng.below(6);
  if (rng.below(2) == 0) options.n_states = kStatesPerSequence + rng.below(14);
  options.n_waiting_max = 1 + rng.below(12);
  if (rng.below(2) == 0) options.n_waiting_user_max = 1 + rng.below(6);
  if (rng.below(2) == 0) options.n_running_user_max = 1 + rng.below(3);
  if (rng.below(4) == 0) {
    options.n_ctx += 300;
    options.n_blocks += 5;
  }
  const WornClock clock(seed);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> disk(nullptr, std::fclose);
  std::vector<std::unique_ptr<Run>> runs;  // the last one lives; the others were killed
  const auto start = [&] {
    runs.push_back(std::make_unique<Run>(options, clock));
    if (disk != nullptr) runs.back()->keep_on_disk(fileno(disk.get()));
  };
  if (options.n_ctx > 300 && options.n_states == 0) disk.reset(std::tmpfile());
  start();
  std::vector<GenerateJob> jobs;
  std::map<SequenceId, size_t> job_of;
  std::set<SequenceId> cancelled;
  SequenceId next_id = 1;
  const size_t n_jobs = 5 + rng.below(20);
  std::map<SequenceId, Answer> answers;
  for (bool busy = true; busy || jobs.size() < n_jobs;) {
    Run& run = *runs.back();
    while (jobs.size() < n_jobs && rng.below(3) != 0) {
      jobs.push_back(random_job(rng, jobs, options.n_ctx));
      job_of[next_id] = jobs.size() - 1;
      run.engine().submit(next_id++, jobs.back());
      if (rng.below(6) == 0) {
        run.answers[next_id] = {};  // one that is killed has no event to be known by
        run.engine().submit(next_id++, ScoreJob{random_ids(rng, 1 + rng.below(70)), 2, 3});
      }
    }
    if (rng.below(8) == 0) {
      const SequenceId id = rng.below(next_id + 2);  // also unknown and ended ones
      const auto answer = run.answers.find(id);
      if (answer != run.answers.end() && !answer->second.last) cancelled.insert(id);
      run.engine().cancel(id);
    }
    busy = run.engine().step();
    run.engine().check_integrity();
    if (rng.below(100) == 0 && runs.size() < 3) {
      reached.add(run.engine().totals());
      run.fail_open();
      answers.merge(run.answers);
      ++reached.n_killed;
      start();
      busy = true;
      for (size_t i = 0; i < n_jobs; ++i) {  // who had a long chat asks again
        if (i >= jobs.size() || jobs[i].prompt.size() < kArchiveTokensMin) continue;
        jobs.push_back(jobs[i]);
        job_of[next_id] = jobs.size() - 1;
        runs.back()->engine().submit(next_id++, jobs.back());
      }
    }
  }
  Run& last = *runs.back();
  answers.merge(last.answers);
  const EngineTotals totals = last.engine().totals();
  ASSERT_EQ(totals.n_blocks_free, options.n_blocks);
  reached.add(totals);
  ASSERT_EQ(answers.size(), next_id - 1);
  for (const auto& [id, answer] : answers) {
    ASSERT_TRUE(answer.last.has_value()) << "request " << id << " had no last event";
    const auto job = job_of.find(id);
    if (job == job_of.end()) continue;
    const auto* failed = std::get_if<Failed>(&*answer.last);
    if (failed != nullptr && failed->error.code == ErrorCode::kResourceExhausted) continue;
    const bool is_killed = failed != nullptr && failed->error.code == ErrorCode::kUnavailable;
    ASSERT_LE(answer.n_cached, cachable(jobs[job->second], jobs, job_of, answers));
    const Answer expected = alone(jobs[job->second], options);
    if (cancelled.contains(id) || is_killed) {
      ASSERT_LE(answer.ids.size(), expected.ids.size());
      ASSERT_TRUE(std::equal(answer.ids.begin(), answer.ids.end(), expected.ids.begin()));
      continue;
    }
    ASSERT_EQ(answer.last->index(), expected.last->index()) << "request " << id;
    ASSERT_EQ(answer.ids, expected.ids) << "request " << id;
    ASSERT_EQ(answer.text, expected.text) << "request " << id;
  }
}

TEST(EngineSimulation, EveryRequestGetsTheAnswerItGetsAlone) {
  const char* wanted = std::getenv("MARU_FUZZ_ITERATIONS");
  const uint64_t n_seeds = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 1000;
  Reached reached;
  for (uint64_t seed = 0; seed < n_seeds; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(simulate(seed, reached));
  }
  EXPECT_GT(reached.n_stepped_back, n_seeds / 10);
  EXPECT_GT(reached.n_refused, n_seeds / 10);
  EXPECT_GT(reached.n_cached, n_seeds);
  EXPECT_GT(reached.n_cancelled, n_seeds / 10);
  EXPECT_GT(reached.n_saved, n_seeds / 10);
  EXPECT_GT(reached.n_brought_back, n_seeds / 100);
  EXPECT_GT(reached.n_killed, n_seeds / 10);
  EXPECT_GT(reached.n_guessed_right, n_seeds);
  EXPECT_GT(reached.n_guessed - reached.n_guessed_right, n_seeds / 2);
}

}  // namespace
}  // namespace maru::engine
