// `maru quantize IN OUT TYPE`: a model with smaller tensors, in a new GGUF file.
//
// A hardened child process reads the model file and can write to nothing but the new file, which it
// inherits open; this process gives that its name once it is whole.
#include <map>
#include <thread>

#include "app/engine.h"
#include "app/new_file.h"
#include "app/terminal.h"
#include "model/quantize_file.h"

namespace maru::app {
namespace {

namespace fs = std::filesystem;
using model::TensorPlan;

struct Flags {
  std::string in;
  std::string out;
  std::string type;
  bool requantize = false;
};

std::string target_names() {
  std::string names;
  for (const model::QuantizeTarget& target : model::quantize_targets()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", target.name);
  }
  return names;
}

std::string_view name_of(tensor::DType dtype) { return tensor::dtype_info(dtype).name; }

// One line for each kind of tensor whose rows do not fit the type that it should have.
void report_misfits(std::span<const TensorPlan> plans) {
  struct Misfits {
    size_t n = 0;
    std::string_view first;
  };
  std::map<std::tuple<size_t, tensor::DType, tensor::DType>, Misfits> all;
  for (const TensorPlan& plan : plans) {
    if (!plan.wanted) continue;
    Misfits& misfits = all[{plan.from.n_cols(), *plan.wanted, plan.to}];
    if (misfits.n++ == 0) misfits.first = plan.from.name;
  }
  for (const auto& [key, misfits] : all) {
    const auto& [n_cols, wanted, to] = key;
    write_err(
        fmt::format("{} instead of {} for {} tensors ('{}' and so on): rows of {} values are no "
                    "multiple of {}\n",
                    name_of(to), name_of(wanted), misfits.n, misfits.first, n_cols,
                    tensor::dtype_info(wanted).block_elements));
  }
}

// "168 Q4_K, 30 Q6_K, 61 F32"
std::string count_types(std::span<const TensorPlan> plans) {
  std::map<tensor::DType, size_t> counts;
  for (const TensorPlan& plan : plans) ++counts[plan.to];
  std::string text;
  for (const auto& [dtype, n] : counts) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n, name_of(dtype));
  }
  return text;
}

// In the child.
Result<void> convert(const fs::path& in, const fs::path& out, const model::QuantizeTarget& target,
                     bool requantize, size_t n_threads, AtomicFile& file) {
  MARU_TRY(source, gguf::File::open(in));
  MARU_TRY(plans, model::plan_quantization(source, target, {.requantize = requantize}));
  MARU_TRY_VOID(check_space(out, model::quantized_bytes(plans)));
  report_misfits(plans);
  ThreadPool pool(n_threads);
  PercentLine progress("quantizing");
  const auto write = [&](std::span<const std::byte> bytes) { return file.write(bytes); };
  const auto report = [&](uint64_t done, uint64_t total) { progress.update(done, total); };
  const auto written = model::quantize_file(source, target, plans, pool, {write, report});
  progress.finish();
  if (!written.ok()) return written.error();
  print("{}: {}\n", out.string(), count_types(plans));
  return {};
}

int run_quantize(const Session& session, const Flags& flags) {
  const model::QuantizeTarget* target = model::find_quantize_target(flags.type);
  if (target == nullptr) {
    fail(Error::invalid(
        fmt::format("'{}' is no type to quantize to; there are {}", flags.type, target_names())));
    return kExitUsage;
  }
  const auto in = find_model(session, flags.in);
  if (!in.ok()) return fail(in.error());
  const fs::path out = flags.out;
  const size_t n_threads = session.config.threads > 0
                               ? session.config.threads
                               : std::max<size_t>(std::thread::hardware_concurrency(), 1);
  return make_new_file(out, [&](AtomicFile& file) {
    return convert(in->path, out, *target, flags.requantize, n_threads, file);
  });
}

}  // namespace

void add_quantize(Session& session) {
  const Command command =
      session.add_command("quantize", "Make a smaller GGUF file from an F16, BF16 or F32 one");
  auto flags = std::make_shared<Flags>();
  command.add_option("IN", flags->in, "name, or path of a GGUF file").required();
  command.add_option("OUT", flags->out, "the new file; it must not exist").required();
  command.add_option("TYPE", flags->type, target_names()).required();
  command.add_flag("--requantize", flags->requantize,
                   "take tensors that are quantized already; loses quality twice");
  command.add_setting("threads", "threads that convert");
  command.runs([&session, flags] { return run_quantize(session, *flags); });
}

}  // namespace maru::app
