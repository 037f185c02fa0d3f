// app/bench_cell.h - the measurements of `maru bench`, one cell at a time, through the engine
// protocol.
//
// A cell is one prompt length, or one decoding with some tokens before it and some streams at once.
// Each run has a cache salt of its own, so that no measured prompt comes from the prefix cache.
// Token ids are random with a fixed seed: arithmetic does not depend on them. Threads: one; events
// come from the client's.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "link/client.h"

namespace maru::app {

struct BenchOptions {
  size_t decode_tokens = 64;  // each stream generates these
  size_t repeats = 3;
};

// tokens/s, one for each repeat; none where the context does not hold the cell.
using Samples = std::vector<double>;

// tokens/s of all streams while all of them run, from when the tokens of each arrived, in order:
// from the moment the last stream has its first token to that when the first one has its last.
// Steps are timed by the tokens of that first one. Errors: kResourceExhausted where there is no
// such time.
Result<double> rate_together(const std::vector<std::vector<int64_t>>& times_ns);

class BenchCells {
 public:
  BenchCells(link::Client& client, const BenchOptions& options);

  // Evaluating a prompt. The first call makes an uncounted run before.
  Result<Samples> prefill(size_t n_prompt);

  // Generating behind n_before tokens (at least one), all streams together in each step. Their
  // prompts are evaluated before, uncounted.
  // Errors: kResourceExhausted where the engine does not run so many at once.
  Result<Samples> decode(size_t n_before, size_t n_streams);

 private:
  struct Stream {
    std::vector<link::TokenId> prompt;
    std::string salt;
  };

  Stream new_stream(size_t n_prompt);
  link::GenerateRequest request(const Stream& stream, size_t n_generate) const;
  Result<link::Usage> run_alone(const Stream& stream, size_t n_generate, bool keep_kv);
  Result<double> run_together(const std::vector<Stream>& streams);
  bool fits(size_t n_tokens) const { return n_tokens <= client_.card().n_ctx; }

  link::Client& client_;
  const BenchOptions options_;
  Rng rng_;
  size_t n_salts_ = 0;
  bool is_warm_ = false;
};

}  // namespace maru::app
