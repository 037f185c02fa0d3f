// `maru embed MODEL [TEXT]`: the vector of a text, or with --jsonl of any texts and token
// sequences.
#include <iostream>
#include <iterator>

#include "app/jsonl.h"
#include "app/terminal.h"
#include "base/utf8.h"

namespace maru::app {
namespace {

// Lines that are evaluated together: a few steps of the engine. Their answers wait for the last.
constexpr size_t kBatchLinesMax = 64;

struct Flags {
  std::string model;
  std::string text;
  bool text_given = false;
  bool jsonl = false;
  bool normalize = false;
  bool tokens = false;
  model::Pooling pooling = model::Pooling::kNone;  // none: as the model says
};

link::EmbedRequest make_request(const Flags& flags, link::Prompt prompt) {
  return {.prompt = std::move(prompt),
          .pooling = flags.pooling,
          .normalize = flags.normalize,
          .want_tokens = flags.tokens};
}

Json embedding_json(const Flags& flags, const link::EmbedResult& result) {
  Json answer = {{"embedding", result.values}};
  if (flags.tokens) answer["tokens"] = result.tokens;
  return answer;
}

Result<link::Prompt> line_prompt(const Json& line) {
  if (line.contains("text") == line.contains("ids")) {
    return Error::invalid("a line has one of 'text', a string, and 'ids', an array of token ids");
  }
  if (line.contains("ids")) {
    MARU_TRY(ids, ids_field(line, "ids"));
    return link::Prompt(link::TokensPrompt{std::move(ids)});
  }
  MARU_TRY(text, text_field(line, "text"));
  return link::Prompt(link::TextPrompt{.text = std::move(text)});
}

std::vector<Result<Json>> embed_lines(link::Client& client, const Flags& flags,
                                      const std::vector<Json>& lines) {
  std::vector<Result<link::Prompt>> prompts;
  std::vector<link::EmbedRequest> requests;
  for (const Json& line : lines) {
    prompts.push_back(line_prompt(line));
    if (prompts.back().ok()) requests.push_back(make_request(flags, *prompts.back()));
  }
  const auto results = client.embed_all(std::move(requests));
  std::vector<Result<Json>> answers;
  size_t n_taken = 0;
  for (const auto& prompt : prompts) {
    if (!prompt.ok()) {
      answers.push_back(prompt.error());
      continue;
    }
    const auto& result = results[n_taken++];
    answers.push_back(result.ok() ? Result<Json>(embedding_json(flags, *result)) : result.error());
  }
  return answers;
}

int run_embed(const Session& session, const Flags& flags) {
  const StartEngine start = [&]() -> Result<EngineClient> {
    MARU_TRY(client, start_engine(session, flags.model));
    if (client->card().pooling == model::pooling_name(model::Pooling::kRank)) {
      return Error::unsupported(
          fmt::format("{} ranks documents and makes no embeddings; POST /v1/rerank of `maru serve` "
                      "uses it",
                      flags.model));
    }
    if (flags.pooling == model::Pooling::kNone && client->card().pooling.empty()) {
      return Error::invalid(
          fmt::format("{} was not made for embeddings: its file does not say how the vectors of "
                      "its tokens become one. --pooling mean, cls or last decides it",
                      flags.model));
    }
    return client;
  };
  if (flags.jsonl) {
    return answer_batches(start, kBatchLinesMax,
                          [&](link::Client& client, const std::vector<Json>& lines) {
                            return embed_lines(client, flags, lines);
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
  const auto result =
      (*client)->embed(make_request(flags, link::TextPrompt{.text = std::move(text)}));
  if (!result.ok()) return fail(result.error());
  print_json(embedding_json(flags, *result));
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
  command.add_setting("isa", kIsaNames);
  command.add_engine_script();
  command.runs([&session, flags, text] {
    flags->text_given = text.given();
    return run_embed(session, *flags);
  });
}

}  // namespace maru::app
