// bench/sampling.cc - how long drawing a token takes. Usage: bench_sampling [--isa NAME]
// [--seconds S per cell]
//
// Microseconds of one Sampler::draw, for vocabularies of 151,936 (Qwen 2.5) and 262,144 (Gemma 3)
// tokens, one thread; each figure is the best of many calls, since other programs may be running.
// `peaked` is a row as models give it: most logits normal around 0, and a few hundred likely tokens
// whose logits fall with the logarithm of their rank. `flat` is noise of a hundredth: thousands of
// tokens share the mass, as no trained model has it.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "engine/sampler.h"
#include "options.h"
#include "timing.h"

namespace maru::engine {
namespace {

constexpr size_t kVocabs[] = {151'936, 262'144};
constexpr size_t kLikely = 300;
constexpr size_t kHistory = 64;

float normal(Rng& rng) {
  return static_cast<float>(std::sqrt(-2 * std::log(1 - rng.uniform())) *
                            std::cos(2 * M_PI * rng.uniform()));
}

std::vector<float> make_row(bool peaked, size_t n) {
  Rng rng(1);
  std::vector<float> row(n);
  for (float& logit : row) logit = normal(rng) * (peaked ? 2.5f : 0.01f);
  for (size_t rank = 1; peaked && rank <= kLikely; ++rank) {
    row[rng.below(n)] = 20.0f - 1.7f * std::log(static_cast<float>(rank));
  }
  return row;
}

struct Cell {
  std::string_view name;
  SamplingParams params;
};

std::vector<Cell> make_cells() {
  SamplingParams off;
  off.temperature = 0.8f;
  off.top_k = 0;
  off.top_p = 1;
  off.min_p = 0;
  const auto with = [&](auto change) {
    SamplingParams params = off;
    change(params);
    return params;
  };
  return {
      {"arg-max", with([](auto& p) { p.temperature = 0; })},
      {"temperature", off},
      {"top_k 40", with([](auto& p) { p.top_k = 40; })},
      {"top_p 0.95", with([](auto& p) { p.top_p = 0.95f; })},
      {"min_p 0.05", with([](auto& p) { p.min_p = 0.05f; })},
      {"top_p, min_p", with([](auto& p) { p.top_p = 0.95f, p.min_p = 0.05f; })},
      {"all three", SamplingParams{}},
      {"and penalty", with([](auto& p) {
         p = {};
         p.repetition_penalty = 1.1f;
       })},
      {"arg-max, penalty", with([](auto& p) { p.temperature = 0, p.repetition_penalty = 1.1f; })},
      {"top_p, T = 1.5", with([](auto& p) { p.top_p = 0.95f, p.temperature = 1.5f; })},
      {"20 logprobs", with([](auto& p) {
         p = {};
         p.want_logprobs = true;
         p.n_logprobs = 20;
       })},
      {"typical_p 0.9", with([](auto& p) { p.typical_p = 0.9f; })},
  };
}

int run(int argc, char** argv) {
  const auto [table, type, seconds] = read_bench_options(argc, argv, 0.1);
  if (table == nullptr) return 1;
  fmt::print("isa {}; one thread; microseconds a token\n", table->isa);
  fmt::print("{:18}", "");
  for (const char* kind : {"peaked", "flat"}) {
    for (const size_t n : kVocabs) fmt::print("{:>15}", fmt::format("{} {}", kind, n));
  }
  fmt::print("\n");
  for (const Cell& cell : make_cells()) {
    fmt::print("{:18}", cell.name);
    for (const bool peaked : {true, false}) {
      for (const size_t n : kVocabs) {
        std::vector<float> row = make_row(peaked, n);
        Sampler sampler(cell.params);
        Sampler::Scratch scratch(n, table->ops);
        std::vector<TokenId> history(kHistory);
        std::vector<float> unpenalized(kHistory);
        for (size_t i = 0; i < kHistory; ++i) {
          history[i] = static_cast<TokenId>(i * 1000);
          unpenalized[i] = row[i * 1000];
        }
        const double time = best(seconds, [&] {
          if (!sampler.draw(row, history, scratch)) std::abort();
          for (size_t i = 0; i < kHistory; ++i) row[i * 1000] = unpenalized[i];
        });
        fmt::print("{:15.1f}", time * 1e6);
      }
    }
    fmt::print("\n");
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace maru::engine

int main(int argc, char** argv) { return maru::engine::run(argc, argv); }
