// `maru bench [MODEL]`: how fast a model runs here, measured through the engine protocol.
//
// Beside each rate stands the part of the machine's roof that it reaches, measured in the same run
// before the engine starts: reads of memory for decoding, int8 products for prefill
// (kernels/roofs.h). bench/compare runs this beside other programs, a cell at a time.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "app/bench_cell.h"
#include "app/engine.h"
#include "app/number_list.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "kernels/roofs.h"

namespace maru::app {
namespace {

constexpr size_t kListMax = 32;
constexpr size_t kTokensMax = size_t{1} << 24;
constexpr size_t kStreamsMax = 64;  // the engine may run fewer at once, and the cell then fails

struct Flags {
  std::string model;
  // Absent: not measured, or all three absent: the usual cells.
  std::optional<std::vector<size_t>> prefill;
  std::optional<std::vector<size_t>> decode_at;
  std::optional<std::vector<size_t>> streams;
  BenchOptions options;
  bool only_roofs = false;
  bool no_roofs = false;
  bool json = false;

  void fill_in() {
    if (!prefill && !decode_at && !streams) {
      prefill = {128, 512, 2048};
      decode_at = {0, 2048};
    }
    if (!prefill) prefill.emplace();
    if (!decode_at) decode_at = streams ? std::vector<size_t>{0} : std::vector<size_t>{};
    if (!streams) streams = {1};
  }
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// "128,512" into a list flag.
std::function<Result<void>(const std::string&)> list_setter(
    std::optional<std::vector<size_t>>& list, size_t least, size_t most) {
  return [&list, least, most](const std::string& text) -> Result<void> {
    MARU_TRY(numbers, read_number_list(text, kListMax, least, most));
    list = std::move(numbers);
    return {};
  };
}

// What the figures are a fraction of; the fractions of a rate in tokens/s, 0 where it is unknown.
struct Roof {
  kernels::Roofs roofs;
  double macs_per_token = 0;
  double bytes_per_token = 0;

  double prefill(double rate) const {
    return roofs.int8_ops_per_s > 0 ? rate * 2 * macs_per_token / roofs.int8_ops_per_s : 0;
  }
  // All streams share one reading of the weights.
  double decode(double rate, size_t n_streams) const {
    if (roofs.read_bytes_per_s == 0) return 0;
    return rate / static_cast<double>(n_streams) * bytes_per_token / roofs.read_bytes_per_s;
  }
};

size_t n_threads(const Session& session) {
  return session.config.threads != 0 ? session.config.threads : default_thread_count();
}

Result<kernels::Roofs> measure(const Session& session) {
  const kernels::KernelTable* table = kernels::find_kernels(session.config.isa);
  ThreadPool pool(n_threads(session));
  const kernels::Roofs roofs =
      kernels::measure_roofs(table == nullptr ? "" : table->isa, SystemClock(), pool);
  if (roofs.read_bytes_per_s == 0) return Error::exhausted("no memory to measure reads in");
  return roofs;
}

void add_roofs(const kernels::Roofs& roofs, Json& report) {
  report["read_bytes_per_second"] = roofs.read_bytes_per_s;
  report["sustained_bytes_per_second"] = roofs.sustained_bytes_per_s;
  report["int8_ops_per_second"] = roofs.int8_ops_per_s;
  report["int8_instruction"] = roofs.instruction;
}

void print_roofs(const kernels::Roofs& roofs) {
  print("machine          {:8.1f} GB/s read from memory, {:.0f} Gop/s int8 ({})\n",
        roofs.read_bytes_per_s / 1e9, roofs.int8_ops_per_s / 1e9, roofs.instruction);
}

// One measured cell as a line for people and as an object of report["cells"], whose first members
// name it. Without samples the context was too short: the line is left out.
void add_cell(Json cell, const Samples& samples, const std::string& label,
              const std::function<double(double)>& fraction, std::string_view roof, bool quiet,
              Json& report) {
  cell["samples"] = samples;
  cell["tokens_per_second"] = nullptr;
  if (!samples.empty()) {
    const double rate = median(samples);
    const double part = fraction(rate);
    cell["tokens_per_second"] = rate;
    if (part > 0) cell["fraction_of_roof"] = part;
    if (!quiet) {
      print("{:<16} {:8.1f} tokens/s", label, rate);
      if (part > 0) print("  {:4.0f} % of {}", 100 * part, roof);
      print("\n");
    }
  }
  report["cells"].push_back(std::move(cell));
}

// Runs all measurements into the report, and prints each as it is known.
Result<void> measure_all(BenchCells& cells, const Flags& flags, const Roof& roof, Json& report) {
  report["cells"] = Json::array();
  for (const size_t n : *flags.prefill) {
    MARU_TRY(samples, cells.prefill(n));
    add_cell(
        {{"cell", "prefill"}, {"tokens", n}}, samples, fmt::format("prefill    {:>5}", n),
        [&](double rate) { return roof.prefill(rate); }, "the int8 peak", flags.json, report);
  }
  for (const size_t n : *flags.decode_at) {
    for (const size_t n_streams : *flags.streams) {
      MARU_TRY(samples, cells.decode(n, n_streams));
      add_cell(
          {{"cell", "decode"}, {"context", n}, {"streams", n_streams}}, samples,
          n_streams == 1 ? fmt::format("decode at  {:>5}", n)
                         : fmt::format("{:>2} x at     {:>5}", n_streams, n),
          [&](double rate) { return roof.decode(rate, n_streams); }, "the memory bandwidth",
          flags.json, report);
    }
  }
  return {};
}

int run_roofs(const Session& session, const Flags& flags) {
  const auto roofs = measure(session);
  if (!roofs.ok()) return fail(roofs.error());
  Json report = {{"threads", n_threads(session)}};
  add_roofs(*roofs, report);
  if (flags.json) {
    print_json(report);
  } else {
    print_roofs(*roofs);
  }
  return kExitOk;
}

int run_bench(const Session& session, Flags flags) {
  if (flags.only_roofs) return run_roofs(session, flags);
  if (flags.model.empty()) flags.model = session.config.model;
  flags.fill_in();
  std::optional<kernels::Roofs> roofs;
  if (!flags.no_roofs) {
    auto measured = measure(session);
    if (!measured.ok()) return fail(measured.error());
    roofs = *measured;
  }
  const auto start = std::chrono::steady_clock::now();
  auto client = start_engine(session, flags.model, {.no_guesses = true, .for_text = true});
  if (!client.ok()) return fail(client.error());
  const std::chrono::duration<double> start_seconds = std::chrono::steady_clock::now() - start;
  const link::ModelCard card = (*client)->card();
  Json report = {{"model", flags.model},
                 {"architecture", card.architecture},
                 {"parameters", card.n_params},
                 {"weight_bytes", card.weight_bytes},
                 {"bytes_per_token", card.bytes_per_token},
                 {"macs_per_token", card.macs_per_token},
                 {"macs_per_decoded_token", card.macs_per_token + card.n_vocab * card.d_model},
                 {"isa", card.isa},
                 {"threads", n_threads(session)},
                 {"load_seconds", card.load_seconds},
                 {"start_seconds", start_seconds.count()},
                 {"decode_tokens", flags.options.decode_tokens}};
  if (roofs) add_roofs(*roofs, report);
  if (!flags.json) {
    print("{}: {}, {} weights, {}, {} threads\n", flags.model, card.architecture,
          human_bytes(card.weight_bytes), card.isa, n_threads(session));
    if (roofs) print_roofs(*roofs);
    print("load             {:8.2f} s ({:.2f} s with the process)\n", card.load_seconds,
          start_seconds.count());
  }
  BenchCells cells(**client, flags.options);
  const Roof roof{roofs.value_or(kernels::Roofs()), static_cast<double>(card.macs_per_token),
                  static_cast<double>(card.bytes_per_token)};
  if (const auto done = measure_all(cells, flags, roof, report); !done.ok()) {
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
  command
      .add_setter("--prefill", list_setter(flags->prefill, 1, kTokensMax),
                  "lengths of prompts to evaluate, as 128,512; only what is named is measured")
      .value_name("N,N");
  command
      .add_setter("--decode-at", list_setter(flags->decode_at, 0, kTokensMax),
                  "tokens before those that are generated, as 0,2048")
      .value_name("N,N");
  command
      .add_setter("--streams", list_setter(flags->streams, 1, kStreamsMax),
                  "generations at once, as 1,4; the rate is that of all together")
      .value_name("N,N");
  command
      .add_option("--decode-tokens", flags->options.decode_tokens,
                  "tokens generated by each stream in each run")
      .range(2, 4096);
  command.add_option("--repeats", flags->options.repeats, "runs of which the median is shown")
      .range(1, 99);
  const Option only =
      command.add_flag("--only-roofs", flags->only_roofs, "measure the machine and no model");
  command.add_flag("--no-roofs", flags->no_roofs, "measure the model and not the machine")
      .excludes(only);
  command.add_flag("--json", flags->json, "print a JSON object with every run");
  command.add_setting("threads", "threads of the engine");
  command.add_setting("isa", kIsaNames);
  command.add_engine_script();
  command.runs([&session, flags] { return run_bench(session, *flags); });
  add_bench_serve(session, command);
}

}  // namespace maru::app
