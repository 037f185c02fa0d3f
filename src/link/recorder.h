// link/recorder.h - collects the events of one generation for a test, and waits for them.
//
// Tests of link/, serve/ and app/ use it. Threads: sink() on the client's reader thread, the rest
// on the test's.
#pragma once
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "link/client.h"

namespace maru::link {

inline bool is_last(const GenerateEvent& event) {
  return std::holds_alternative<Done>(event) || std::holds_alternative<Failed>(event);
}

inline std::string text_of(const std::vector<GenerateEvent>& events) {
  std::string text;
  for (const GenerateEvent& event : events) {
    if (const auto* delta = std::get_if<Delta>(&event)) text += delta->text;
  }
  return text;
}

class Recorder {
 public:
  GenerateSink sink() {
    return [state = state_](GenerateEvent event) { record_in(*state, std::move(event)); };
  }
  void record(GenerateEvent event) { record_in(*state_, std::move(event)); }

  // All events, once the last one is there.
  std::vector<GenerateEvent> wait() {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return state_->ended; });
    return state_->events;
  }
  // Until there are n events (or the last one).
  void wait_for(size_t n) {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return state_->ended || state_->events.size() >= n; });
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<GenerateEvent> events;
    bool ended = false;
  };

  static void record_in(State& state, GenerateEvent event) {
    const std::lock_guard lock(state.mutex);
    CHECK(!state.ended);  // nothing comes after the last event
    state.ended = is_last(event);
    state.events.push_back(std::move(event));
    state.changed.notify_all();
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace maru::link
