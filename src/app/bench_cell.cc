#include "app/bench_cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "app/answer.h"
#include "app/terminal.h"
#include "base/clock.h"

namespace maru::app {
namespace {

constexpr uint64_t kSeed = 6278;
constexpr size_t kWarmUpTokensMax = 512;

// When the tokens of each stream arrived, in order.
class Arrivals {
 public:
  explicit Arrivals(size_t n_streams) : times_ns_(n_streams), n_open_(n_streams) {}

  // Called on the client's thread.
  void add(size_t stream, link::GenerateEvent event) {
    const int64_t now_ns = SystemClock().monotonic_ns();
    const std::scoped_lock lock(mutex_);
    if (std::holds_alternative<link::Delta>(event)) {
      const size_t n = std::get<link::Delta>(event).ids.size();
      times_ns_[stream].insert(times_ns_[stream].end(), n, now_ns);
    } else if (auto* failed = std::get_if<link::Failed>(&event)) {
      error_ = std::move(failed->error);
      --n_open_;
    } else if (const auto* done = std::get_if<link::Done>(&event)) {
      if (done->reason == link::FinishReason::kCancelled) {
        error_ = Error{ErrorCode::kCancelled, "stopped", {}};
      }
      --n_open_;
    }
    changed_.notify_one();
  }

  Result<void> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return n_open_ == 0; });
    if (error_) return *error_;
    return {};
  }

  // Requires: wait() returned.
  const std::vector<std::vector<int64_t>>& times_ns() const { return times_ns_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<int64_t>> times_ns_;
  std::optional<Error> error_;
  size_t n_open_;
};

}  // namespace

Result<double> rate_together(const std::vector<std::vector<int64_t>>& times_ns) {
  int64_t begin_ns = 0;
  const std::vector<int64_t>* first_to_end = &times_ns.front();
  for (const auto& times : times_ns) {
    if (times.empty()) return Error::corrupt("a stream ended without a token");
    begin_ns = std::max(begin_ns, times.front());
    if (times.back() < first_to_end->back()) first_to_end = &times;
  }
  const auto begin = std::ranges::lower_bound(*first_to_end, begin_ns);
  const auto n_tokens = static_cast<size_t>(first_to_end->end() - begin);
  if (n_tokens < 2 || first_to_end->back() == *begin) {
    return Error::exhausted(
        fmt::format("{} streams did not run at the same time: the engine takes fewer at once, or "
                    "--decode-tokens is too small",
                    times_ns.size()));
  }
  const double seconds = static_cast<double>(first_to_end->back() - *begin) * 1e-9;
  return static_cast<double>(times_ns.size() * (n_tokens - 1)) / seconds;
}

BenchCells::BenchCells(link::Client& client, const BenchOptions& options)
    : client_(client), options_(options), rng_(kSeed) {}

Result<Samples> BenchCells::prefill(size_t n_prompt) {
  if (!fits(n_prompt + 1)) return Samples();
  // Nothing is kept: each prompt uses the memory of the last one, which has been touched.
  if (!is_warm_) {
    MARU_TRY_VOID(run_alone(new_stream(std::min(n_prompt, kWarmUpTokensMax)), 1, false));
  }
  is_warm_ = true;
  Samples samples;
  for (size_t i = 0; i < options_.repeats; ++i) {
    MARU_TRY(usage, run_alone(new_stream(n_prompt), 1, false));
    samples.push_back(static_cast<double>(usage.n_prompt) / usage.prompt_seconds);
  }
  return samples;
}

Result<Samples> BenchCells::decode(size_t n_before, size_t n_streams) {
  n_before = std::max<size_t>(n_before, 1);
  if (!fits(n_before + options_.decode_tokens)) return Samples();
  // The prefix cache keeps these prompts, so that each run begins with its last token.
  std::vector<Stream> streams;
  for (size_t i = 0; i < n_streams; ++i) {
    streams.push_back(new_stream(n_before));
    if (n_before > 1) MARU_TRY_VOID(run_alone(streams.back(), 1, true));
  }
  Samples samples;
  for (size_t i = 0; i < options_.repeats; ++i) {
    MARU_TRY(rate, run_together(streams));
    samples.push_back(rate);
  }
  return samples;
}

BenchCells::Stream BenchCells::new_stream(size_t n_prompt) {
  Stream stream{.prompt = {}, .salt = fmt::format("bench-{}", n_salts_++)};
  for (size_t i = 0; i < n_prompt; ++i) {
    stream.prompt.push_back(static_cast<link::TokenId>(rng_.next() % client_.card().n_vocab));
  }
  return stream;
}

link::GenerateRequest BenchCells::request(const Stream& stream, size_t n_generate) const {
  link::GenerateRequest request;
  request.prompt = link::TokensPrompt{stream.prompt};
  request.sampling.temperature = 0;
  request.max_tokens = n_generate;
  request.ignore_eos = true;
  request.cache_salt = stream.salt;
  return request;
}

Result<link::Usage> BenchCells::run_alone(const Stream& stream, size_t n_generate, bool keep_kv) {
  link::GenerateRequest asked = request(stream, n_generate);
  asked.keep_kv = keep_kv;
  const Answer answer = stream_answer(client_, asked, [](std::string_view) {});
  if (answer.error) return *answer.error;
  if (answer.interrupted) return Error{ErrorCode::kCancelled, "stopped", {}};
  return answer.done->usage;
}

Result<double> BenchCells::run_together(const std::vector<Stream>& streams) {
  Arrivals arrivals(streams.size());
  std::vector<link::RequestId> ids;
  for (size_t i = 0; i < streams.size(); ++i) {
    ids.push_back(client_.generate(
        request(streams[i], options_.decode_tokens),
        [&arrivals, i](link::GenerateEvent event) { arrivals.add(i, std::move(event)); }));
  }
  const Interrupts interrupts([&](int) {
    for (const link::RequestId id : ids) client_.cancel(id);
  });
  MARU_TRY_VOID(arrivals.wait());
  return rate_together(arrivals.times_ns());
}

}  // namespace maru::app
