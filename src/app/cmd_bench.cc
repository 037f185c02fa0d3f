// `maru bench [MODEL]`: how fast a model runs here, measured through the engine protocol.
//
// Each run has a cache salt of its own, so that no prompt comes from the prefix cache. Token ids
// are random with a fixed seed: arithmetic does not depend on them. Beside each rate stands the
// part of the machine's roof that it reaches, measured in the same run before the engine starts:
// reads of memory for decoding, int8 products for prefill (kernels/roofs.h).
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "app/answer.h"
#include "app/engine.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "kernels/roofs.h"

namespace maru::app {
namespace {

constexpr std::array<size_t, 3> kPrefillTokens = {128, 512, 2048};
constexpr std::array<size_t, 2> kDecodeContexts = {0, 2048};
constexpr uint64_t kSeed = 6278;

struct Flags {
  std::string model;
  size_t decode_tokens = 64;
  size_t repeats = 3;
  bool json = false;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class Bench {
 public:
  Bench(link::Client& client, const Flags& flags) : client_(client), flags_(flags), rng_(kSeed) {}

  // tokens/s of evaluating a prompt; nullopt where the context does not hold it.
  Result<std::optional<double>> prefill(size_t n_prompt) {
    return median_of(
        [&](const link::Usage& usage) {
          return static_cast<double>(usage.n_prompt) / usage.prompt_seconds;
        },
        n_prompt, 1);
  }

  // tokens/s of generating behind that many tokens.
  Result<std::optional<double>> decode(size_t n_before) {
    return median_of(
        [&](const link::Usage& usage) {
          // generate_seconds runs from the first token to the last.
          return static_cast<double>(usage.n_generated - 1) / usage.generate_seconds;
        },
        std::max<size_t>(n_before, 1), flags_.decode_tokens);
  }

 private:
  template <class Rate>
  Result<std::optional<double>> median_of(Rate rate, size_t n_prompt, size_t n_generate) {
    if (n_prompt + n_generate > client_.card().n_ctx) return std::optional<double>();
    std::vector<double> rates;
    for (size_t i = 0; i < flags_.repeats; ++i) {
      MARU_TRY(usage, once(n_prompt, n_generate));
      rates.push_back(rate(usage));
    }
    return std::optional(median(std::move(rates)));
  }

  Result<link::Usage> once(size_t n_prompt, size_t n_generate) {
    link::TokensPrompt prompt;
    for (size_t i = 0; i < n_prompt; ++i) {
      prompt.ids.push_back(static_cast<link::TokenId>(rng_.next() % client_.card().n_vocab));
    }
    link::GenerateRequest request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.max_tokens = n_generate;
    request.ignore_eos = true;
    request.cache_salt = fmt::format("bench-{}", n_runs_++);
    const Answer answer = stream_answer(client_, std::move(request), [](std::string_view) {});
    if (answer.error) return *answer.error;
    if (answer.interrupted) return Error{ErrorCode::kCancelled, "stopped", {}};
    return answer.done->usage;
  }

  link::Client& client_;
  const Flags& flags_;
  Rng rng_;
  size_t n_runs_ = 0;
};

Json rate_json(const std::optional<double>& rate) { return rate ? Json(*rate) : Json(nullptr); }

// What the figures are a fraction of; the fractions of a rate in tokens/s.
struct Roof {
  kernels::Roofs roofs;
  double macs_per_token = 0;
  double bytes_per_token = 0;

  double prefill(double rate) const {
    return roofs.int8_ops_per_s > 0 ? rate * 2 * macs_per_token / roofs.int8_ops_per_s : 0;
  }
  double decode(double rate) const { return rate * bytes_per_token / roofs.read_bytes_per_s; }
};

size_t n_threads(const Session& session) {
  return session.config.threads != 0 ? session.config.threads : default_thread_count();
}

kernels::Roofs measure(const Session& session) {
  const kernels::KernelTable* table = kernels::find_kernels(session.config.isa);
  ThreadPool pool(n_threads(session));
  return kernels::measure_roofs(table == nullptr ? "" : table->isa, SystemClock(), pool);
}

void print_rate(std::string_view what, size_t n, double rate, double fraction,
                std::string_view roof) {
  print("{:<10} {:>5} {:8.1f} tokens/s", what, n, rate);
  if (fraction > 0) print("  {:4.0f} % of {}", 100 * fraction, roof);
  print("\n");
}

// Runs all measurements into the report, and prints each as it is known.
Result<void> measure_all(Bench& bench, const Roof& roof, bool quiet, Json& report) {
  for (const size_t n : kPrefillTokens) {
    MARU_TRY(rate, bench.prefill(n));
    report["prefill_tokens_per_second"][std::to_string(n)] = rate_json(rate);
    if (!rate) continue;
    report["prefill_fraction_of_int8_peak"][std::to_string(n)] = roof.prefill(*rate);
    if (!quiet) print_rate("prefill", n, *rate, roof.prefill(*rate), "the int8 peak");
  }
  for (const size_t n : kDecodeContexts) {
    MARU_TRY(rate, bench.decode(n));
    report["decode_tokens_per_second"][std::to_string(n)] = rate_json(rate);
    if (!rate) continue;
    report["decode_fraction_of_bandwidth"][std::to_string(n)] = roof.decode(*rate);
    if (!quiet) print_rate("decode at", n, *rate, roof.decode(*rate), "the memory bandwidth");
  }
  return {};
}

int run_bench(const Session& session, Flags flags) {
  if (flags.model.empty()) flags.model = session.config.model;
  const kernels::Roofs roofs = measure(session);
  const auto start = std::chrono::steady_clock::now();
  auto client = start_engine(session, flags.model, {.for_text = true});
  if (!client.ok()) return fail(client.error());
  const std::chrono::duration<double> start_seconds = std::chrono::steady_clock::now() - start;
  const link::ModelCard card = (*client)->card();
  Json report = {{"model", flags.model},
                 {"architecture", card.architecture},
                 {"parameters", card.n_params},
                 {"weight_bytes", card.weight_bytes},
                 {"isa", card.isa},
                 {"threads", n_threads(session)},
                 {"read_bytes_per_second", roofs.read_bytes_per_s},
                 {"int8_ops_per_second", roofs.int8_ops_per_s},
                 {"int8_instruction", roofs.instruction},
                 {"load_seconds", card.load_seconds},
                 {"start_seconds", start_seconds.count()},
                 {"prefill_tokens_per_second", Json::object()},
                 {"decode_tokens_per_second", Json::object()}};
  if (!flags.json) {
    print("{}: {}, {} weights, {}, {} threads\n", flags.model, card.architecture,
          human_bytes(card.weight_bytes), card.isa, n_threads(session));
    print("machine          {:8.1f} GB/s read from memory, {:.0f} Gop/s int8 ({})\n",
          roofs.read_bytes_per_s / 1e9, roofs.int8_ops_per_s / 1e9, roofs.instruction);
    print("load             {:8.2f} s ({:.2f} s with the process)\n", card.load_seconds,
          start_seconds.count());
  }
  Bench bench(**client, flags);
  const Roof roof{roofs, static_cast<double>(card.macs_per_token),
                  static_cast<double>(card.bytes_per_token)};
  if (const auto done = measure_all(bench, roof, flags.json, report); !done.ok()) {
    return fail(done.error());
  }
  client->reset();  // its end is waited for, so that its memory is counted
  rusage children{};
  ::getrusage(RUSAGE_CHILDREN, &children);
  const uint64_t peak_bytes = static_cast<uint64_t>(children.ru_maxrss) * 1024;
  report["peak_memory_bytes"] = peak_bytes;
  if (flags.json) {
    print_json(report);
  } else {
    print("peak memory      {:>10}\n", human_bytes(peak_bytes));
  }
  return kExitOk;
}

}  // namespace

void add_bench(Session& session) {
  const Command command = session.add_command("bench", "Measure how fast a model runs here");
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model,
                     "name, or path of a GGUF file (default: " + hub::default_model().name + ")");
  command.add_option("--decode-tokens", flags->decode_tokens, "tokens generated in each run")
      .range(2, 4096);
  command.add_option("--repeats", flags->repeats, "runs of which the median is shown").range(1, 99);
  command.add_flag("--json", flags->json, "print a JSON object");
  command.add_setting("threads", "threads of the engine");
  command.add_setting("isa", "scalar, avx2, avx512 or amx");
  command.add_engine_script();
  command.runs([&session, flags] { return run_bench(session, *flags); });
}

}  // namespace maru::app
