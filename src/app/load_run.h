// app/load_run.h - runs the streams of a load test at once and sums up what they saw.
//
// cmd_bench_serve.cc prints it. Threads: one per stream while it runs.
#pragma once
#include <string>
#include <vector>

#include "app/load_mix.h"
#include "base/result.h"

namespace maru::app {

struct LoadTarget {
  std::string url;  // with "/v1"
  std::string api_key;
  std::string model;
};

struct LoadOptions {
  double seconds = 20;  // in which requests begin; those that run are finished
  double rate = 0;  // 0: each stream asks again when it has its answer; else arrivals per second
  uint64_t seed = 1;
};
// Requests of one group in flight where they arrive at a rate; further ones wait, and their time
// counts from their arrival.
inline constexpr size_t kLoadThreadsMax = 512;

struct LoadResult {
  std::string group;
  size_t n_ok = 0;
  size_t n_failed = 0;
  std::string error;   // the first
  double seconds = 0;  // from the first request to the end of the last
  size_t n_prompt = 0;
  size_t n_cached = 0;
  size_t n_generated = 0;
  std::vector<double> first = {};  // seconds, sorted
  std::vector<double> gaps = {};   // seconds, sorted
};

std::vector<LoadResult> run_load(const LoadTarget& target, const std::vector<LoadGroup>& groups,
                                 const LoadOptions& options);

// The value that a part of the sorted ones does not exceed; 0 where there are none.
double percentile(const std::vector<double>& sorted, double part);

}  // namespace maru::app
