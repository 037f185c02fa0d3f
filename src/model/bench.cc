#include "model/bench.h"

#include <algorithm>

namespace maru::model {
namespace {

// One sequence over ids that are all different words, as text's are.
class Runner {
 public:
  static Result<Runner> create(Model& model, const Clock& clock, size_t n_tokens_max) {
    Runner runner(model, clock);
    const size_t n_blocks = n_tokens_max / kBlockTokens + 1;
    MARU_TRY(kv, model.make_kv_store(n_blocks, 1));
    runner.kv_ = std::move(kv);
    for (size_t i = 0; i < n_blocks; ++i) runner.blocks_.push_back(static_cast<BlockId>(i));
    for (size_t i = 0; i < n_tokens_max; ++i) {
      runner.ids_.push_back(static_cast<TokenId>(i * 31 % model.info().n_vocab));
    }
    runner.logits_.resize(model.info().n_vocab);
    return runner;
  }

  // Seconds for n tokens from `position` on, `step` at a time.
  double run(size_t position, size_t n, size_t step) {
    const int64_t begin = clock_.monotonic_ns();
    for (size_t done = 0; done < n; done += step) {
      const size_t now = std::min(step, n - done);
      const Slice slice = {std::span(ids_).subspan(position + done, now), position + done, blocks_,
                           1};
      model_.forward({&slice, 1}, *kv_, logits_);
    }
    return static_cast<double>(clock_.monotonic_ns() - begin) * 1e-9;
  }

 private:
  Runner(Model& model, const Clock& clock) : model_(model), clock_(clock) {}

  Model& model_;
  const Clock& clock_;
  std::unique_ptr<KvStore> kv_;
  std::vector<BlockId> blocks_;
  std::vector<TokenId> ids_;
  std::vector<float> logits_;
};

}  // namespace

Result<BenchResult> bench_model(Model& model, const Clock& clock, const BenchOptions& options) {
  size_t longest = 1;
  for (const size_t n : options.prefill) longest = std::max(longest, n);
  for (const size_t n : options.contexts) longest = std::max(longest, n + options.n_decode);
  MARU_TRY(runner, Runner::create(model, clock, longest));
  runner.run(0, std::min<size_t>(longest, 8), 1);  // first touch of memory is not measured
  BenchResult result;
  const auto rate = [](size_t n, double s) { return static_cast<double>(n) / std::max(s, 1e-9); };
  for (const size_t n : options.prefill) {
    result.prefill.push_back({n, 0, rate(n, runner.run(0, n, n))});
  }
  size_t filled = 0;
  for (const size_t context : options.contexts) {
    // A recurrent state stands behind what was decoded last: such a model begins anew.
    const size_t from = model.info().state_bytes > 0 ? 0 : filled;
    if (context > from) runner.run(from, context - from, context - from);
    filled = std::max(filled, context);
    const double seconds = runner.run(context, options.n_decode, 1);
    result.decode.push_back({options.n_decode, context, rate(options.n_decode, seconds)});
  }
  return result;
}

}  // namespace maru::model
