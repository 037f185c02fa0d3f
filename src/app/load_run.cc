#include "app/load_run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <mutex>
#include <thread>

#include "app/chat_call.h"
#include "base/check.h"

namespace maru::app {
namespace {

using Time = std::chrono::steady_clock::time_point;

Time now() { return std::chrono::steady_clock::now(); }
std::chrono::nanoseconds as_duration(double seconds) {
  return std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9));
}
double seconds_between(Time a, Time b) { return std::chrono::duration<double>(b - a).count(); }

class Group {
 public:
  Group(const LoadTarget& target, const LoadGroup& group, const LoadOptions& options, Time begin)
      : target_(target), group_(group), options_(options), begin_(begin) {
    result_.group = group.name;
    end_ = begin + as_duration(options.seconds);
    // Arrivals are drawn beforehand: how quick the server is has no influence on them.
    Rng rng(options.seed);
    for (double at = 0; options.rate > 0;) {
      at -= std::log(1 - rng.uniform()) / options.rate;
      if (at >= options.seconds) break;
      arrivals_.push_back(begin + as_duration(at));
    }
    const size_t n =
        options.rate > 0 ? std::min(arrivals_.size(), kLoadThreadsMax) : group.n_streams;
    for (size_t i = 0; i < n; ++i) threads_.emplace_back([this, i] { stream(i); });
  }

  LoadResult finish() {
    threads_.clear();  // joins
    std::ranges::sort(result_.first);
    std::ranges::sort(result_.gaps);
    return std::move(result_);
  }

 private:
  void stream(size_t index) {
    ChatCaller caller(target_.url, target_.api_key);
    Talker talker(group_, target_.model, options_.seed, index);
    std::string answer;
    while (true) {
      Time wanted = now();
      if (options_.rate > 0) {
        const size_t next = n_arrived_.fetch_add(1);
        if (next >= arrivals_.size()) return;
        wanted = arrivals_[next];
      } else {
        wanted += as_duration(talker.think_seconds());
        if (wanted >= end_) return;
      }
      std::this_thread::sleep_until(wanted);
      const double late = options_.rate > 0 ? seconds_between(wanted, now()) : 0;
      auto times = caller.call(talker.next(answer), {});
      answer = times.ok() ? times->text : "";
      add(times, late);
    }
  }

  void add(const Result<ChatTimes>& times, double late) {
    const std::lock_guard lock(mutex_);
    result_.seconds = seconds_between(begin_, now());
    if (!times.ok()) {
      if (result_.n_failed++ == 0) result_.error = times.error().message;
      return;
    }
    ++result_.n_ok;
    result_.n_prompt += times->n_prompt;
    result_.n_cached += times->n_cached;
    result_.n_generated += times->n_generated;
    result_.first.push_back(times->first_seconds + late);
    result_.gaps.insert(result_.gaps.end(), times->gaps.begin(), times->gaps.end());
  }

  const LoadTarget& target_;
  const LoadGroup group_;
  const LoadOptions options_;
  const Time begin_;
  Time end_;
  std::vector<Time> arrivals_;
  std::atomic<size_t> n_arrived_{0};
  std::mutex mutex_;
  LoadResult result_;
  std::vector<std::jthread> threads_;
};

}  // namespace

std::vector<LoadResult> run_load(const LoadTarget& target, const std::vector<LoadGroup>& groups,
                                 const LoadOptions& options) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(global == CURLE_OK);
  std::vector<std::unique_ptr<Group>> running;
  const Time begin = now();
  for (const LoadGroup& group : groups) {
    running.push_back(std::make_unique<Group>(target, group, options, begin));
  }
  std::vector<LoadResult> results;
  for (const auto& group : running) results.push_back(group->finish());
  return results;
}

double percentile(const std::vector<double>& sorted, double part) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))];
}

}  // namespace maru::app
