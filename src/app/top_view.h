// app/top_view.h - what `maru top` shows, from the texts of GET /metrics.
//
// cmd_top.cc fetches them. Rates and percentiles are of the time between two texts, or since the
// server's start where there is one only. Threads: plain values.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maru::app {

inline constexpr size_t kMetricsLinesMax = 100'000;

// Samples of one text: name, then labels as they stand there, then the value.
class Metrics {
 public:
  // Errors: kCorrupt for a line that is no sample and no comment.
  static Result<Metrics> parse(std::string_view text);

  std::vector<std::string> models() const;
  // 0 where there is no such sample.
  double value(std::string_view name, const std::string& model) const;
  // Samples of a histogram that are at most as large as each bound: (bound, number), in order.
  std::vector<std::pair<double, double>> buckets(std::string_view name,
                                                 const std::string& model) const;

 private:
  struct Sample {
    std::string model;
    double bound = 0;  // of a bucket
    double value = 0;
  };
  std::map<std::string, std::vector<Sample>, std::less<>> samples_;
};

// The value that a part of the samples does not exceed, interpolated within its bucket; negative
// where there are none. Shapes: buckets as Metrics::buckets() gives them.
double quantile(const std::vector<std::pair<double, double>>& buckets, double part);

// A table, one line for each model. `before` may be null; then seconds is not used.
std::string top_table(const Metrics& now, const Metrics* before, double seconds);

}  // namespace maru::app
