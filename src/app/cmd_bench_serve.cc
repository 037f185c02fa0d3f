// `maru bench serve`: the load that many people make, aimed at any OpenAI-compatible server, so
// that others are measured by the same program.
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <optional>

#include "app/chat_call.h"
#include "app/load_mix.h"
#include "app/load_run.h"
#include "app/number_list.h"
#include "app/session.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

constexpr size_t kStreamsMax = 256;
constexpr size_t kListMax = 16;

struct Flags {
  std::string url;
  std::string api_key = "none";
  std::string model;
  std::vector<std::string> mixes = {"chat"};
  std::vector<size_t> streams = {1, 4, 16, 64};
  size_t seconds = 20;
  size_t n_prompt = 256;
  size_t n_answer = 128;
  double rate = 0;
  std::optional<size_t> seed;
  bool json = false;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

Result<void> set_mixes(std::vector<std::string>& mixes, const std::string& text) {
  mixes = split(text);
  for (const std::string& mix : mixes) {
    if (std::ranges::find(kLoadMixes, mix) == std::end(kLoadMixes)) {
      return Error::invalid(
          fmt::format("'{}' is not accepted: {}", mix, fmt::join(kLoadMixes, ", ")));
    }
  }
  return {};
}

Result<void> set_streams(std::vector<size_t>& streams, const std::string& text) {
  MARU_TRY(numbers, read_number_list(text, kListMax, 1, kStreamsMax));
  streams = std::move(numbers);
  return {};
}

Result<void> set_rate(double& rate, const std::string& text) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  if (error == std::errc() && end == text.data() + text.size() && rate > 0 && rate <= 1000)
    return {};
  return Error::invalid(fmt::format("'{}' is not accepted: requests per second, up to 1000", text));
}

Json cell_json(const std::string& mix, size_t n_streams, const LoadResult& result) {
  const auto percentiles = [](const std::vector<double>& seconds) {
    return Json{{"p50", percentile(seconds, 0.5)},
                {"p95", percentile(seconds, 0.95)},
                {"p99", percentile(seconds, 0.99)}};
  };
  return {{"mix", mix},
          {"streams", n_streams},
          {"group", result.group},
          {"answered", result.n_ok},
          {"failed", result.n_failed},
          {"error", result.error},
          {"seconds", result.seconds},
          {"prompt_tokens", result.n_prompt},
          {"cached_tokens", result.n_cached},
          {"generated_tokens", result.n_generated},
          {"first_token_seconds", percentiles(result.first)},
          {"between_tokens_seconds", percentiles(result.gaps)}};
}

void print_line(const std::string& label, const LoadResult& result) {
  const double seconds = std::max(result.seconds, 1e-9);
  print("{:<18} {:>5} {:>4} {:>8.1f} {:>8.1f} {:>5.0f}% {:>8.0f} {:>8.0f} {:>7.1f} {:>7.1f}\n",
        label, result.n_ok, result.n_failed, static_cast<double>(result.n_generated) / seconds,
        static_cast<double>(result.n_prompt) / seconds,
        result.n_prompt > 0
            ? 100.0 * static_cast<double>(result.n_cached) / static_cast<double>(result.n_prompt)
            : 0.0,
        1e3 * percentile(result.first, 0.5), 1e3 * percentile(result.first, 0.99),
        1e3 * percentile(result.gaps, 0.5), 1e3 * percentile(result.gaps, 0.99));
  if (result.n_failed > 0) print("  first failure: {}\n", result.error);
}

int run_bench_serve(const Session& session, Flags flags) {
  if (flags.url.empty()) flags.url = fmt::format("http://127.0.0.1:{}/v1", session.config.port);
  while (flags.url.ends_with('/')) flags.url.pop_back();
  if (flags.model.empty()) flags.model = session.config.model;
  const LoadTarget target{flags.url, flags.api_key, flags.model};
  // Another one each time, so that no answer comes from what an earlier run left in a cache.
  const size_t seed = flags.seed.value_or(static_cast<size_t>(
      std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1)));
  Json report = {{"url", flags.url},
                 {"model", flags.model},
                 {"seed", seed},
                 {"rate", flags.rate},
                 {"cells", Json::array()}};
  if (!flags.json) {
    print("{} at {}, seed {}\n", flags.model, flags.url, seed);
    print("{:<18} {:>5} {:>4} {:>8} {:>8} {:>6} {:>17} {:>15}\n", "", "OK", "BAD", "OUT/s", "IN/s",
          "CACHED", "FIRST 50/99 % ms", "NEXT 50/99 % ms");
  }
  LoadOptions options{.seconds = static_cast<double>(flags.seconds), .rate = flags.rate};
  // Loads the model; not counted.
  LoadGroup first{.name = "warm-up", .n_prompt = 4, .n_answer = 2};
  options.seed = seed;
  const auto warm = ChatCaller(flags.url, flags.api_key)
                        .call(Talker(first, flags.model, seed + 999, 0).next(""), {});
  if (!warm.ok()) return fail(warm.error());
  size_t n_failed = 0;
  for (const std::string& mix : flags.mixes) {
    for (const size_t n_streams : flags.streams) {
      for (const auto& groups : load_mix(mix, n_streams, flags.n_prompt, flags.n_answer)) {
        ++options.seed;
        for (const LoadResult& result : run_load(target, groups, options)) {
          report["cells"].push_back(cell_json(mix, n_streams, result));
          n_failed += result.n_failed;
          if (flags.json) continue;
          const std::string label = groups.size() > 1 || result.group != mix
                                        ? fmt::format("{} {}: {}", n_streams, mix, result.group)
                                        : fmt::format("{} {}", n_streams, mix);
          print_line(label, result);
        }
      }
    }
  }
  if (flags.json) print_json(report);
  return n_failed == 0 ? kExitOk : kExitFailed;
}

}  // namespace

void add_bench_serve(Session& session, const Command& bench) {
  const Command command =
      bench.add_command("serve", "Measure a running server of any make under the load of many");
  auto flags = std::make_shared<Flags>();
  command
      .add_option("--url", flags->url, "of the API (default: this machine, on the configured port)")
      .value_name("URL");
  command.add_option("--api-key", flags->api_key, "what the server asks for").value_name("KEY");
  command.add_option("--model", flags->model, "by the server's name for it");
  command
      .add_setter(
          "--mix", [flags](const std::string& text) { return set_mixes(flags->mixes, text); },
          "chat (default), shared (2,000 words that all begin with), turns (conversations of 4), "
          "long "
          "(a document of 4,096 words among them), flood (nine who ask now and then, alone and "
          "beside streams of one user)")
      .value_name("A,B");
  command
      .add_setter(
          "--streams",
          [flags](const std::string& text) { return set_streams(flags->streams, text); },
          "at once, each asking again when it is answered (default 1,4,16,64)")
      .value_name("N,N");
  command
      .add_setter(
          "--rate", [flags](const std::string& text) { return set_rate(flags->rate, text); },
          "requests per second at random times instead, however quick the answers are")
      .value_name("R");
  command.add_option("--seconds", flags->seconds, "in which requests begin, of each run")
      .range(1, 86'400);
  command.add_option("--prompt", flags->n_prompt, "words of a question").range(1, 1 << 20);
  command.add_option("--answer", flags->n_answer, "tokens of an answer").range(2, 1 << 20);
  command
      .add_setter(
          "--seed",
          [flags](const std::string& text) -> Result<void> {
            size_t seed = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
            if (error != std::errc() || end != text.data() + text.size()) {
              return Error::invalid(fmt::format("'{}' is no number", text));
            }
            flags->seed = seed;
            return {};
          },
          "of the questions; a server may remember those of an earlier run with the same")
      .value_name("N");
  command.add_flag("--json", flags->json, "print a JSON object");
  command.add_setting("port", "of the server on this machine");
  command.runs([&session, flags] { return run_bench_serve(session, *flags); });
}

}  // namespace maru::app
