#include "serve/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace maru::serve {
namespace {

constexpr std::string_view kOutcomes[] = {"stop", "length", "refused", "failed", "abandoned"};

// A label's value between quotes.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void histogram(std::string& out, std::string_view name, const std::string& model,
               const Histogram& values) {
  uint64_t n = 0;
  for (size_t i = 0; i < values.counts.size(); ++i) {
    n += values.counts[i];
    const std::string bound =
        i < kSecondsBounds.size() ? fmt::format("{}", kSecondsBounds[i]) : "+Inf";
    out += fmt::format("{}_bucket{{model=\"{}\",le=\"{}\"}} {}\n", name, model, bound, n);
  }
  out += fmt::format("{}_sum{{model=\"{}\"}} {}\n", name, model, values.sum);
  out += fmt::format("{}_count{{model=\"{}\"}} {}\n", name, model, n);
}

struct EngineRow {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  uint64_t (*get)(const link::EngineStats&);
};
using Stats = link::EngineStats;
constexpr EngineRow kEngineRows[] = {
    {"maru_requests_running", "gauge", "Requests that the engine works on.",
     [](const Stats& s) -> uint64_t { return s.n_running; }},
    {"maru_requests_waiting", "gauge", "Requests in the engine's queue.",
     [](const Stats& s) -> uint64_t { return s.n_waiting; }},
    {"maru_kv_blocks", "gauge", "Blocks of 64 tokens that the engine has memory for.",
     [](const Stats& s) -> uint64_t { return s.n_kv_blocks; }},
    {"maru_kv_blocks_free", "gauge", "Of these, free or kept for later prompts only.",
     [](const Stats& s) -> uint64_t { return s.n_kv_blocks_free; }},
    {"maru_prompt_tokens_total", "counter", "Prompt tokens evaluated.",
     [](const Stats& s) { return s.n_tokens_prompt; }},
    {"maru_cached_tokens_total", "counter", "Prompt tokens that were not evaluated again.",
     [](const Stats& s) { return s.n_tokens_cached; }},
    {"maru_generated_tokens_total", "counter", "Tokens generated.",
     [](const Stats& s) { return s.n_tokens_generated; }},
    {"maru_guessed_tokens_total", "counter", "Tokens guessed and evaluated ahead.",
     [](const Stats& s) { return s.n_tokens_guessed; }},
    {"maru_guessed_right_tokens_total", "counter", "Of these, the ones that were generated.",
     [](const Stats& s) { return s.n_guesses_right; }},
    {"maru_cancelled_total", "counter", "Requests ended by a cancel.",
     [](const Stats& s) { return s.n_cancelled; }},
    {"maru_queue_full_total", "counter", "Requests refused because too many waited.",
     [](const Stats& s) { return s.n_refused; }},
    {"maru_steps_back_total", "counter", "Times that a request made room for another.",
     [](const Stats& s) { return s.n_stepped_back; }},
    {"maru_kv_blocks_saved_total", "counter", "Blocks of conversations written to disk.",
     [](const Stats& s) { return s.n_blocks_saved; }},
    {"maru_kv_blocks_brought_back_total", "counter", "Blocks of conversations read back from it.",
     [](const Stats& s) { return s.n_blocks_brought_back; }},
    {"maru_steps_total", "counter", "Forward passes.", [](const Stats& s) { return s.n_steps; }},
    {"maru_step_tokens_total", "counter", "Tokens evaluated by all passes: / steps = their size.",
     [](const Stats& s) { return s.n_step_tokens; }},
    {"maru_step_sequences_total", "counter",
     "Sequences in all passes: / steps = the mean batch size.",
     [](const Stats& s) { return s.n_step_sequences; }},
};

struct LoadRow {
  std::string_view name;
  std::string_view help;
  double (*get)(const RequestMetrics::Load&);
};
using Load = RequestMetrics::Load;
constexpr LoadRow kLoadRows[] = {
    {"maru_engine_ready", "1 where the model is loaded.",
     [](const Load& load) { return load.ready ? 1.0 : 0.0; }},
    {"maru_engine_load_progress", "How far the load is, 0 to 1.",
     [](const Load& load) { return load.progress; }},
    {"maru_engine_load_waiting", "Requests that wait for the load.",
     [](const Load& load) { return static_cast<double>(load.n_waiting); }},
    {"maru_engine_memory_bytes", "Memory that the engine may take, or needs.",
     [](const Load& load) { return static_cast<double>(load.bytes); }},
    {"maru_engine_idle_seconds", "Since the last request ended; 0 while one runs.",
     [](const Load& load) { return load.idle_seconds; }},
};

}  // namespace

void Histogram::add(double seconds) {
  const auto bound = std::ranges::lower_bound(kSecondsBounds, seconds);
  ++counts[static_cast<size_t>(bound - kSecondsBounds.begin())];
  sum += seconds;
}

void RequestMetrics::first_token(const std::string& model, double seconds) {
  const std::lock_guard lock(mutex_);
  models_[model].first_token.add(seconds);
}

void RequestMetrics::next_token(const std::string& model, double seconds) {
  const std::lock_guard lock(mutex_);
  models_[model].between_tokens.add(seconds);
}

RequestMetrics::Outcome RequestMetrics::outcome_of(const Error& error) {
  const bool is_refused =
      error.code == ErrorCode::kResourceExhausted || error.code == ErrorCode::kInvalidArgument;
  return is_refused ? Outcome::kRefused : Outcome::kFailed;
}

void RequestMetrics::ended(const std::string& model, Outcome outcome) {
  const std::lock_guard lock(mutex_);
  ++models_[model].n_ended[static_cast<size_t>(outcome)];
}

std::string RequestMetrics::text(const Engines& engines, const Loads& loads) const {
  std::string out;
  for (const LoadRow& row : kLoadRows) {
    if (loads.empty()) break;
    head(out, row.name, "gauge", row.help);
    for (const Load& load : loads) {
      out += fmt::format("{}{{model=\"{}\"}} {}\n", row.name, escaped(load.model), row.get(load));
    }
  }
  for (const EngineRow& row : kEngineRows) {
    if (engines.empty()) break;
    head(out, row.name, row.type, row.help);
    for (const auto& [model, stats] : engines) {
      out += fmt::format("{}{{model=\"{}\"}} {}\n", row.name, escaped(model), row.get(stats));
    }
  }
  const std::lock_guard lock(mutex_);
  head(out, "maru_choices_total", "counter", "Answers that ended, by how.");
  for (const auto& [model, counts] : models_) {
    for (size_t i = 0; i < std::size(kOutcomes); ++i) {
      out += fmt::format("maru_choices_total{{model=\"{}\",outcome=\"{}\"}} {}\n", escaped(model),
                         kOutcomes[i], counts.n_ended[i]);
    }
  }
  head(out, "maru_first_token_seconds", "histogram", "From a request to its first token.");
  for (const auto& [model, counts] : models_) {
    histogram(out, "maru_first_token_seconds", escaped(model), counts.first_token);
  }
  head(out, "maru_between_tokens_seconds", "histogram", "From one token to the next.");
  for (const auto& [model, counts] : models_) {
    histogram(out, "maru_between_tokens_seconds", escaped(model), counts.between_tokens);
  }
  return out;
}

}  // namespace maru::serve
