#include "app/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

namespace maru::app {
namespace {

// The value of a label in "a=\"x\",b=\"y\"", or empty.
std::string label(std::string_view labels, std::string_view name) {
  const std::string key = std::string(name) + "=\"";
  size_t at = labels.find(key);
  if (at == std::string_view::npos) return {};
  std::string value;
  for (at += key.size(); at < labels.size() && labels[at] != '"'; ++at) {
    if (labels[at] == '\\' && at + 1 < labels.size()) ++at;
    value += labels[at];
  }
  return value;
}

bool read_number(std::string_view text, double& value) {
  if (text == "+Inf") {
    value = std::numeric_limits<double>::infinity();
    return true;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// "0.12 s", "45 ms", or "-" where nothing was measured.
std::string short_time(double seconds) {
  if (seconds < 0) return "-";
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1e3);
  return fmt::format("{:.1f} s", seconds);
}

}  // namespace

Result<Metrics> Metrics::parse(std::string_view text) {
  Metrics metrics;
  size_t n_lines = 0;
  while (!text.empty()) {
    if (++n_lines > kMetricsLinesMax) {
      return Error::corrupt(fmt::format("the metrics have more than {} lines", kMetricsLinesMax));
    }
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty() || line.starts_with('#')) continue;
    const Error wrong = Error::corrupt(fmt::format("no line of metrics: \"{:.80}\"", line));
    const size_t space = line.rfind(' ');
    if (space == std::string_view::npos) return wrong;
    Sample sample;
    if (!read_number(line.substr(space + 1), sample.value)) return wrong;
    const std::string_view series = line.substr(0, space);
    const size_t brace = series.find('{');
    if (brace != std::string_view::npos) {
      if (!series.ends_with('}')) return wrong;
      const std::string_view labels = series.substr(brace + 1, series.size() - brace - 2);
      sample.model = label(labels, "model");
      const std::string bound = label(labels, "le");
      if (!bound.empty() && !read_number(bound, sample.bound)) return wrong;
    }
    metrics.samples_[std::string(series.substr(0, brace))].push_back(std::move(sample));
  }
  return metrics;
}

std::vector<std::string> Metrics::models() const {
  std::set<std::string> models;
  for (const auto& [name, samples] : samples_) {
    for (const Sample& sample : samples) {
      if (!sample.model.empty()) models.insert(sample.model);
    }
  }
  return {models.begin(), models.end()};
}

double Metrics::value(std::string_view name, const std::string& model) const {
  const auto found = samples_.find(name);
  double sum = 0;
  if (found == samples_.end()) return sum;
  for (const Sample& sample : found->second) {
    if (sample.model == model) sum += sample.value;
  }
  return sum;
}

std::vector<std::pair<double, double>> Metrics::buckets(std::string_view name,
                                                        const std::string& model) const {
  std::vector<std::pair<double, double>> buckets;
  const auto found = samples_.find(std::string(name) + "_bucket");
  if (found == samples_.end()) return buckets;
  for (const Sample& sample : found->second) {
    if (sample.model == model) buckets.emplace_back(sample.bound, sample.value);
  }
  std::ranges::sort(buckets);
  return buckets;
}

double quantile(const std::vector<std::pair<double, double>>& buckets, double part) {
  if (buckets.empty() || buckets.back().second <= 0) return -1;
  const double wanted = part * buckets.back().second;
  double bound_before = 0, n_before = 0;
  for (const auto& [bound, n] : buckets) {
    if (n >= wanted) {
      if (std::isinf(bound)) return bound_before;
      if (n == n_before) return bound;
      return bound_before + (bound - bound_before) * (wanted - n_before) / (n - n_before);
    }
    bound_before = bound;
    n_before = n;
  }
  return bound_before;
}

std::string top_table(const Metrics& now, const Metrics* before, double seconds) {
  std::string out = fmt::format(
      "{:<24} {:>4} {:>5} {:>5} {:>5} {:>8} {:>8} {:>6} {:>7} {:>15} {:>15}\n", "MODEL", "RUN",
      "WAIT", "KV", "BATCH", before != nullptr ? "IN/s" : "IN", before != nullptr ? "OUT/s" : "OUT",
      "CACHED", "GUESSED", "FIRST 50/95 %", "NEXT 50/95 %");
  for (const std::string& model : now.models()) {
    // Of the time between; a server that was started anew counts from its start.
    const auto grown = [&](std::string_view name) {
      const double whole = now.value(name, model);
      const double old = before != nullptr ? before->value(name, model) : 0;
      return whole >= old ? whole - old : whole;
    };
    const auto times = [&](std::string_view name) {
      auto buckets = now.buckets(name, model);
      const auto old = before != nullptr ? before->buckets(name, model) : decltype(buckets)();
      const bool goes_on = old.size() == buckets.size() && !buckets.empty() &&
                           old.back().second <= buckets.back().second;
      for (size_t i = 0; goes_on && i < buckets.size(); ++i) buckets[i].second -= old[i].second;
      return fmt::format("{} / {}", short_time(quantile(buckets, 0.5)),
                         short_time(quantile(buckets, 0.95)));
    };
    const auto ratio = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
    const double per = before != nullptr && seconds > 0 ? seconds : 1;
    const double n_blocks = now.value("maru_kv_blocks", model);
    const double cached = grown("maru_cached_tokens_total");
    const double prompt = grown("maru_prompt_tokens_total");
    const double generated = grown("maru_generated_tokens_total");
    const double guessed = grown("maru_guessed_right_tokens_total");
    out += fmt::format(
        "{:<24} {:>4.0f} {:>5.0f} {:>4.0f}% {:>5.1f} {:>8.0f} {:>8.0f} {:>5.0f}% {:>6.0f}% {:>15} "
        "{:>15}\n",
        model, now.value("maru_requests_running", model), now.value("maru_requests_waiting", model),
        100 * ratio(n_blocks - now.value("maru_kv_blocks_free", model), n_blocks),
        ratio(grown("maru_step_sequences_total"), grown("maru_steps_total")), prompt / per,
        generated / per, 100 * ratio(cached, cached + prompt), 100 * ratio(guessed, generated),
        times("maru_first_token_seconds"), times("maru_between_tokens_seconds"));
  }
  if (now.models().empty()) out += "no model is in use\n";
  return out;
}

}  // namespace maru::app
