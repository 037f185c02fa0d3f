// `maru quantize IN OUT TYPE`: a model with smaller tensors, in a new GGUF file.
//
// A hardened child process reads the model file and can write to nothing but the new file, which it
// inherits open; this process gives that its name once it is whole.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <thread>

#include "app/engine.h"
#include "app/terminal.h"
#include "base/atomic_file.h"
#include "link/harden.h"
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

class Progress {
 public:
  void update(uint64_t done, uint64_t total) {
    const uint64_t percent = total == 0 ? 100 : done * 100 / total;
    if (percent < next_) return;
    write_err(terminal_ ? fmt::format("\rquantizing {:3}%", percent)
                        : fmt::format("quantizing {}%\n", percent));
    next_ = percent + (terminal_ ? 1 : 10);
  }
  void finish() const {
    if (terminal_) write_err("\r\x1b[K");
  }

 private:
  bool terminal_ = stderr_is_terminal();
  uint64_t next_ = 0;
};

Result<void> check_space(const fs::path& out, uint64_t n_bytes) {
  std::error_code error;
  const fs::path folder = out.has_parent_path() ? out.parent_path() : fs::path(".");
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available >= n_bytes) return {};
  return Error::exhausted(fmt::format("'{}' has {} left, the new file needs {}", folder.string(),
                                      human_bytes(space.available), human_bytes(n_bytes)));
}

// In the child.
Result<void> convert(const fs::path& in, const fs::path& out, const model::QuantizeTarget& target,
                     bool requantize, size_t n_threads, AtomicFile& file) {
  MARU_TRY(source, gguf::File::open(in));
  MARU_TRY(plans, model::plan_quantization(source, target, {.requantize = requantize}));
  MARU_TRY_VOID(check_space(out, model::quantized_bytes(plans)));
  report_misfits(plans);
  ThreadPool pool(n_threads);
  Progress progress;
  const auto write = [&](std::span<const std::byte> bytes) { return file.write(bytes); };
  const auto report = [&](uint64_t done, uint64_t total) { progress.update(done, total); };
  const auto written = model::quantize_file(source, target, plans, pool, {write, report});
  progress.finish();
  if (!written.ok()) return written.error();
  print("{}: {}\n", out.string(), count_types(plans));
  return {};
}

// How the child ended, as an exit code of this process.
int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return fail(Error::io("the converting process was lost"));
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  if (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM) {
    return fail({ErrorCode::kCancelled, "stopped; nothing was written", {}});
  }
  return fail(Error::corrupt(fmt::format(
      "the converting process died of signal {}: was the model file cut while it was read?",
      WTERMSIG(status))));
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
  std::error_code ignored;
  if (fs::exists(out, ignored)) {
    return fail(Error::invalid(fmt::format("'{}' exists; nothing was replaced", out.string())));
  }
  auto file = AtomicFile::create(out);
  if (!file.ok()) return fail(file.error());
  const size_t n_threads = session.config.threads > 0
                               ? session.config.threads
                               : std::max<size_t>(std::thread::hardware_concurrency(), 1);
  const pid_t child = ::fork();  // no thread was started yet
  if (child < 0) return fail(Error::io(fmt::format("cannot fork: {}", std::strerror(errno))));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    link::harden_engine();
    const auto done = convert(in->path, out, *target, flags.requantize, n_threads, file.value());
    ::_exit(done.ok() ? kExitOk : fail(done.error()));
  }
  // Ctrl-C ends the child; this process stays to remove the file.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  if (const int code = wait_for(child); code != kExitOk) return code;
  const auto committed = file->commit(AtomicFile::Existing::kKeep);
  return committed.ok() ? kExitOk : fail(committed.error());
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
