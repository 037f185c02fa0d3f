// model/bench.h - how fast a loaded model is: prefill and decode in tokens per second.
//
// Called by `maru bench`; on the thread that owns the model. It must not know how to print.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/model.h"

namespace maru::model {

struct Speed {
  size_t n_tokens = 0;  // measured
  size_t context = 0;   // positions before them
  double tokens_per_s = 0;
};

struct BenchOptions {
  std::span<const size_t> prefill;   // prompt lengths
  std::span<const size_t> contexts;  // at which decoding is measured
  size_t n_decode = 32;
};

struct BenchResult {
  std::vector<Speed> prefill;  // in the order of the options
  std::vector<Speed> decode;
};

// Requires: lengths of at least 1. Errors: kResourceExhausted where the cache cannot be had.
Result<BenchResult> bench_model(Model& model, const Clock& clock, const BenchOptions& options);

}  // namespace maru::model
