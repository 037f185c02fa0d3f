// `maru score MODEL [TEXT]`: how likely a model finds a text, or with --jsonl any token sequences.
#include <cmath>
#include <iostream>
#include <iterator>

#include "app/jsonl.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

Json score_json(const link::ScoreResult& result) {
  Json top = Json::array();
  for (const auto& position : result.top) {
    Json candidates = Json::array();
    for (const auto& [id, logprob] : position) candidates.push_back(Json::array({id, logprob}));
    top.push_back(std::move(candidates));
  }
  return {{"nll", result.nll ? Json(*result.nll) : Json(nullptr)},
          {"nlls", result.nlls},
          {"top", std::move(top)}};
}

Result<Json> score_line(link::Client& client, const Json& line) {
  link::ScoreRequest request;
  MARU_TRY(ids, ids_field(line, "ids"));
  request.ids = std::move(ids);
  MARU_TRY(last, count_field(line, "last", 1));
  request.last = last;
  MARU_TRY(top, count_field(line, "top", 0));
  request.top = top;
  MARU_TRY(result, client.score(request));
  return score_json(result);
}

struct Flags {
  std::string model;
  std::string text;
  bool text_given = false;
  bool jsonl = false;
  bool json = false;
};

int run_score(const Session& session, const Flags& flags) {
  const StartEngine start = [&] { return start_engine(session, flags.model, {.for_text = true}); };
  if (flags.jsonl) return answer_lines(start, score_line);
  auto client = start();
  if (!client.ok()) return fail(client.error());
  std::string text = flags.text;
  if (!flags.text_given) text.assign(std::istreambuf_iterator<char>(std::cin), {});
  const auto ids = (*client)->tokenize({.text = text, .add_special = true});
  if (!ids.ok()) return fail(ids.error());
  const auto result = (*client)->score({.ids = *ids});
  if (!result.ok()) return fail(result.error());
  if (flags.json) {
    print_json(score_json(*result));
  } else if (result->nll) {
    print("{} tokens, {:.4f} nats each, perplexity {:.3f}\n", ids->size(), *result->nll,
          std::exp(*result->nll));
  } else {
    print("one token has nothing before it that would make it likely or not\n");
  }
  return kExitOk;
}

}  // namespace

void add_score(Session& session) {
  const Command command = session.add_command("score", "Show how likely a model finds a text");
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "name, or path of a GGUF file").required();
  const Option text = command.add_option("TEXT", flags->text, "the text (default: standard input)");
  command.add_flag("--json", flags->json, "print {\"nll\", \"nlls\", \"top\"}");
  command.add_flag("--jsonl", flags->jsonl,
                   "for each line {\"ids\", \"last\", \"top\"} of standard input print "
                   "{\"nll\", \"nlls\", \"top\"}");
  command.add_setting("threads", "threads of the engine");
  command.add_setting("isa", kIsaNames);
  command.runs([&session, flags, text] {
    flags->text_given = text.given();
    return run_score(session, *flags);
  });
}

}  // namespace maru::app
