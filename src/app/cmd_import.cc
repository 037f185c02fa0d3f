// `maru import SOURCE OUT`: a model as hubs have it, in safetensors, as one GGUF file.
#include <memory>

#include "app/new_file.h"
#include "app/session.h"
#include "app/terminal.h"
#include "importer/import.h"

namespace maru::app {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string source;
  std::string out;
  std::string type;
  std::string pre;
};

// In the child.
Result<void> write_import(const Flags& flags, const importer::ImportOptions& options,
                          AtomicFile& file) {
  MARU_TRY(import, importer::plan_import(flags.source, options));
  const uint64_t n_bytes = importer::plan_bytes(import.plan);
  MARU_TRY_VOID(check_space(flags.out, n_bytes));
  for (const std::string& note : import.plan.notes) write_err(note + "\n");
  PercentLine progress("importing");
  const auto write = [&](std::span<const std::byte> bytes) { return file.write(bytes); };
  const auto report = [&](uint64_t done, uint64_t total) { progress.update(done, total); };
  const auto written = importer::write_plan(import.plan, import.weights, {write, report});
  progress.finish();
  if (!written.ok()) return written.error();
  print("{}: {}, {} tensors, {}\n", flags.out, import.architecture, import.plan.tensors.size(),
        human_bytes(n_bytes));
  return {};
}

int run_import(const Flags& flags) {
  importer::ImportOptions options{std::nullopt, flags.pre};
  if (!flags.type.empty()) {
    const auto dtype = importer::import_type(flags.type);
    if (!dtype.ok()) {
      fail(dtype.error());
      return kExitUsage;
    }
    options.dtype = *dtype;
  }
  return make_new_file(flags.out,
                       [&](AtomicFile& file) { return write_import(flags, options, file); });
}

}  // namespace

void add_import(Session& session) {
  const Command command =
      session.add_command("import", "Make a GGUF file from safetensors and a tokenizer.json");
  auto flags = std::make_shared<Flags>();
  command
      .add_option("SOURCE", flags->source, "folder with config.json, *.safetensors, tokenizer.json")
      .required();
  command.add_option("OUT", flags->out, "the new file; it must not exist").required();
  command
      .add_option("--type", flags->type, "F32, F16 or BF16 for the large tensors; else as they are")
      .value_name("TYPE");
  command.add_option("--pre", flags->pre, "pre-tokenizer, where tokenizer.json's is not recognised")
      .value_name("NAME");
  command.runs([flags] { return run_import(*flags); });
}

}  // namespace maru::app
