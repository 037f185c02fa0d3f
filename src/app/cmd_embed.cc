// `maru embed MODEL [TEXT]`: the vector of a text, or with --jsonl of any texts and token
// sequences.
#include <iostream>
#include <iterator>

#include "app/jsonl.h"
#include "app/terminal.h"
#include "base/utf8.h"

namespace maru::app {
namespace {

struct Flags {
  std::string model;
  std::string text;
  bool text_given = false;
  bool jsonl = false;
  bool normalize = false;
  bool tokens = false;
  model::Pooling pooling = model::Pooling::kNone;  // none: as the model says
};

Result<Json> embed(link::Client& client, const Flags& flags, link::Prompt prompt) {
  MARU_TRY(result, client.embed({.prompt = std::move(prompt),
                                 .pooling = flags.pooling,
                                 .normalize = flags.normalize,
                                 .want_tokens = flags.tokens}));
  Json answer = {{"embedding", result.values}};
  if (flags.tokens) answer["tokens"] = result.tokens;
  return answer;
}

Result<Json> embed_line(link::Client& client, const Flags& flags, const Json& line) {
  if (line.contains("text") == line.contains("ids")) {
    return Error::invalid("a line has one of 'text', a string, and 'ids', an array of token ids");
  }
  if (line.contains("ids")) {
    MARU_TRY(ids, ids_field(line, "ids"));
    return embed(client, flags, link::TokensPrompt{std::move(ids)});
  }
  MARU_TRY(text, text_field(line, "text"));
  return embed(client, flags, link::TextPrompt{.text = std::move(text)});
}

int run_embed(const Session& session, const Flags& flags) {
  const StartEngine start = [&]() -> Result<EngineClient> {
    MARU_TRY(client, start_engine(session, flags.model));
    if (flags.pooling == model::Pooling::kNone && client->card().pooling.empty()) {
      return Error::invalid(
          fmt::format("{} was not made for embeddings: its file does not say how the vectors of "
                      "its tokens become one. --pooling mean, cls or last decides it",
                      flags.model));
    }
    return client;
  };
  if (flags.jsonl) {
    return answer_lines(start, [&](link::Client& client, const Json& line) {
      return embed_line(client, flags, line);
    });
  }
  auto client = start();
  if (!client.ok()) return fail(client.error());
  std::string text = flags.text;
  if (!flags.text_given) text.assign(std::istreambuf_iterator<char>(std::cin), {});
  if (!is_valid_utf8(text)) {
    return fail(
        Error::invalid(fmt::format("the text is not UTF-8 (byte {})", find_invalid_utf8(text))));
  }
  const auto answer = embed(**client, flags, link::TextPrompt{.text = std::move(text)});
  if (!answer.ok()) return fail(answer.error());
  print_json(*answer);
  return kExitOk;
}

}  // namespace

void add_embed(Session& session) {
  const Command command = session.add_command("embed", "Turn texts into vectors");
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "name, or path of a GGUF file").required();
  const Option text = command.add_option("TEXT", flags->text, "the text (default: standard input)");
  command.add_flag("--jsonl", flags->jsonl,
                   "for each line {\"text\"} or {\"ids\"} of standard input print {\"embedding\"}");
  command.add_flag("--normalize", flags->normalize, "divide the embedding by its length");
  command.add_flag("--tokens", flags->tokens,
                   "print \"tokens\" as well: the vector of each token, before pooling");
  const auto set_pooling = [flags](const std::string& name) -> Result<void> {
    const auto pooling = model::pooling_from_name(name);
    if (!pooling || *pooling == model::Pooling::kNone) {
      return Error::invalid(fmt::format("'{}' is no pooling; accepted: mean, cls, last", name));
    }
    flags->pooling = *pooling;
    return {};
  };
  command.add_setter("--pooling", set_pooling, "mean, cls or last instead of what the model says")
      .value_name("NAME");
  command.add_setting("threads", "threads of the engine");
  command.add_setting("context", "longest text in tokens");
  command.add_setting("isa", "scalar, avx2, avx512 or amx");
  command.add_engine_script();
  command.runs([&session, flags, text] {
    flags->text_given = text.given();
    return run_embed(session, *flags);
  });
}

}  // namespace maru::app
