// `maru replay RECEIPT`: whether an answer can be had again, byte for byte, from what its receipt
// says gave it.
#include <fmt/ranges.h>

#include <iostream>
#include <iterator>

#include "app/build.h"
#include "app/engine.h"
#include "app/model_hash.h"
#include "app/terminal.h"
#include "base/files.h"
#include "serve/openai/replay.h"

namespace maru::app {
namespace {

using serve::openai::Receipt;

struct Flags {
  std::string receipt;
  std::string model;
  std::string adapter;
  bool json = false;
};

Result<Receipt> read_receipt(const std::string& path) {
  if (path != "-") {
    MARU_TRY(text, read_file(path, serve::openai::kReceiptBytesMax));
    return serve::openai::parse_receipt(text);
  }
  std::string text;
  std::istreambuf_iterator<char> next(std::cin);
  for (; next != std::istreambuf_iterator<char>(); ++next) {
    if (text.size() == serve::openai::kReceiptBytesMax) {
      return Error::exhausted(
          fmt::format("a receipt has at most {} MiB", serve::openai::kReceiptBytesMax >> 20));
    }
    text.push_back(*next);
  }
  return serve::openai::parse_receipt(text);
}

// The receipt's model, by its name there or by the one that was given; another file is no model of
// this receipt.
Result<hub::StoredModel> find_model_of(const Session& session, const Receipt& receipt,
                                       const std::string& given) {
  const std::string name = given.empty() ? receipt.source.model : given;
  hub::StoredModel model;
  if (session.engine_script.empty()) {
    MARU_TRY(found, find_model(session, name));
    model = std::move(found);
  } else {
    model.path = session.engine_script;
    model.parts = {model.path};
  }
  MARU_TRY(hashes, hash_model(model));
  if (hashes == receipt.source.model_sha256) return model;
  return Error::invalid(
      fmt::format("the model differs: the receipt is of {} with SHA-256 {}, and '{}' has {}. "
                  "`--model NAME|FILE` names another",
                  receipt.source.model, fmt::join(receipt.source.model_sha256, ", "),
                  model.path.string(), fmt::join(hashes, ", ")));
}

// The receipt's adapter at the place that was given.
Result<std::vector<link::AdapterFile>> adapters_of(const Receipt& receipt, const Flags& flags) {
  const auto& source = receipt.source;
  if (source.adapter.empty() && !flags.adapter.empty()) {
    return Error::invalid("the answer came from the model alone: --adapter has no place here");
  }
  if (source.adapter.empty()) return std::vector<link::AdapterFile>();
  if (flags.adapter.empty()) {
    return Error::invalid(fmt::format(
        "the answer came from the adapter \"{}\" with SHA-256 {}: `--adapter FILE` names its file",
        source.adapter, source.adapter_sha256));
  }
  return std::vector<link::AdapterFile>{
      {source.adapter, std::filesystem::absolute(flags.adapter).string()}};
}

void warn_of_another_build(const Receipt& receipt) {
  const auto& source = receipt.source;
  if (source.version == kVersion && source.commit == kCommit) return;
  write_err(
      fmt::format("maru: warning: the receipt is of Maru {} ({}), this is {} ({}): the same "
                  "bytes are promised within one build only\n",
                  source.version, source.commit, kVersion, kCommit));
}

int report(const Flags& flags, const Receipt& receipt, const Json& choices) {
  const auto difference = serve::openai::first_difference(receipt.choices, choices);
  if (flags.json) {
    Json json = {{"identical", !difference.has_value()}, {"id", receipt.id}, {"choices", choices}};
    if (difference) {
      json["difference"] = {{"where", difference->where},
                            {"receipt", difference->receipt},
                            {"replay", difference->replay}};
    }
    print_json(json);
  } else if (difference) {
    print("different: {}\n  receipt: {}\n  replay:  {}\n", difference->where, difference->receipt,
          difference->replay);
  } else {
    print("identical: {} of {}, {} choice{}\n", receipt.id, receipt.source.model,
          receipt.choices.size(), receipt.choices.size() == 1 ? "" : "s");
  }
  return difference ? kExitFailed : kExitOk;
}

int run_replay(Session session, const Flags& flags) {
  const auto receipt = read_receipt(flags.receipt);
  if (!receipt.ok()) return fail(receipt.error());
  const auto model = find_model_of(session, *receipt, flags.model);
  if (!model.ok()) return fail(model.error());
  warn_of_another_build(*receipt);
  const auto adapters = adapters_of(*receipt, flags);
  if (!adapters.ok()) return fail(adapters.error());
  session.config.context = receipt->source.n_ctx;
  auto client =
      start_engine(session, model->path.string(), {.adapters = *adapters, .for_text = true});
  if (!client.ok()) return fail(client.error());
  const link::ModelCard& card = (*client)->card();
  if (!card.adapters.empty() && card.adapters[0].sha256 != receipt->source.adapter_sha256) {
    return fail(Error::invalid(fmt::format(
        "the adapter differs: the receipt is of \"{}\" with SHA-256 {}, and '{}' has {}",
        receipt->source.adapter, receipt->source.adapter_sha256, flags.adapter,
        card.adapters[0].sha256)));
  }
  if (card.template_sha256 != receipt->source.template_sha256) {
    return fail(Error::invalid(
        fmt::format("the chat template differs: the receipt's has SHA-256 {}, this model's {}",
                    receipt->source.template_sha256, card.template_sha256)));
  }
  if (card.n_ctx != receipt->source.n_ctx) {
    return fail(Error::invalid(fmt::format("the context differs: {} tokens in the receipt, {} here",
                                           receipt->source.n_ctx, card.n_ctx)));
  }
  const SystemClock clock;
  const auto choices = serve::openai::replay(*receipt, *std::move(client), clock);
  if (!choices.ok()) return fail(choices.error());
  return report(flags, *receipt, *choices);
}

}  // namespace

void add_replay(Session& session) {
  const Command command = session.add_command(
      "replay", "Check that an answer comes again, byte for byte, from its receipt");
  auto flags = std::make_shared<Flags>();
  command
      .add_option("RECEIPT", flags->receipt,
                  "file with a receipt, or with an answer that carries one; - for standard input")
      .required();
  command.add_option("--model", flags->model,
                     "name or path of the same model here (default: the receipt's name)");
  command.add_option("--adapter", flags->adapter,
                     "file of the adapter, where the answer came from one");
  command.add_flag("--json", flags->json,
                   "print {\"identical\", \"id\", \"choices\", \"difference\"}");
  command.add_setting("threads", "threads of the engine");
  command.add_setting("isa", kIsaNames);
  command.add_engine_script();
  command.runs([&session, flags] { return run_replay(session, *flags); });
}

}  // namespace maru::app
