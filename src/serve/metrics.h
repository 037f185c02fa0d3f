// serve/metrics.h - what the server counts of requests, and the text of GET /metrics.
//
// openai/generation.cc reports each event as the client of the API would see it, so that times have
// everything in them: loading, queueing, evaluating. What the engines count (link::EngineStats) is
// added when the text is asked for. Source: the Prometheus text exposition format, version 0.0.4.
// Threads: any.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "link/messages.h"

namespace maru::serve {

// Upper bounds of the buckets, in seconds; one more holds the rest.
inline constexpr std::array kSecondsBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1.0,    2.5,   5.0,  10.0,  30.0, 60.0};

struct Histogram {
  std::array<uint64_t, kSecondsBounds.size() + 1> counts = {};
  double sum = 0;

  void add(double seconds);
};

class RequestMetrics {
 public:
  enum class Outcome { kStop, kLength, kRefused, kFailed, kAbandoned };
  // Of a request that ends by this error: what its sender can mend is refused.
  static Outcome outcome_of(const Error& error);

  // A choice's first token came so long after its request.
  void first_token(const std::string& model, double seconds);
  // The next one came so long after the one before.
  void next_token(const std::string& model, double seconds);
  void ended(const std::string& model, Outcome outcome);

  using Engines = std::vector<std::pair<std::string, link::EngineStats>>;
  // What is known of engines that run or are on their way.
  struct Load {
    std::string model;
    bool ready = false;
    double progress = 0;  // of the load; 1: done
    size_t n_waiting = 0;
    uint64_t bytes = 0;
    double idle_seconds = 0;
  };
  using Loads = std::vector<Load>;
  // The whole text, models in order of their names.
  std::string text(const Engines& engines, const Loads& loads = {}) const;

 private:
  struct Model {
    Histogram first_token;
    Histogram between_tokens;
    std::array<uint64_t, 5> n_ended = {};
  };

  mutable std::mutex mutex_;
  std::map<std::string, Model> models_;  // only installed ones: their number is bounded
};

}  // namespace maru::serve
