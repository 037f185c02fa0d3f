// `maru tokenize MODEL [TEXT]` and `maru detokenize MODEL [IDS...]`, both with --jsonl.
#include <fmt/ranges.h>

#include <iostream>
#include <iterator>

#include "app/jsonl.h"
#include "app/terminal.h"
#include "base/utf8.h"

namespace maru::app {
namespace {

Result<Json> tokenize_line(link::Client& client, const Json& line) {
  link::TokenizeRequest request;
  MARU_TRY(text, text_field(line, "text"));
  request.text = std::move(text);
  MARU_TRY(parse_special, flag_field(line, "parse_special", false));
  request.parse_special = parse_special;
  MARU_TRY(add_special, flag_field(line, "add_special", false));
  request.add_special = add_special;
  MARU_TRY(ids, client.tokenize(request));
  return Json{{"ids", ids}};
}

Json text_json(const std::string& bytes) {
  std::string hex;
  for (const unsigned char byte : bytes) hex += fmt::format("{:02x}", byte);
  return {{"text", replace_invalid_utf8(bytes)}, {"hex", hex}};
}

Result<Json> detokenize_line(link::Client& client, const Json& line) {
  MARU_TRY(ids, ids_field(line, "ids"));
  MARU_TRY(bytes, client.detokenize(ids));
  return text_json(bytes);
}

struct Flags {
  std::string model;
  std::string text;
  bool text_given = false;
  std::vector<link::TokenId> ids;
  bool jsonl = false;
  bool json = false;
  bool parse_special = false;
  bool add_special = false;
};

int run_tokenize(const Session& session, const Flags& flags) {
  const StartEngine start = [&] {
    return start_engine(session, flags.model, {.vocab_only = true});
  };
  if (flags.jsonl) return answer_lines(start, tokenize_line);
  auto client = start();
  if (!client.ok()) return fail(client.error());
  std::string text = flags.text;
  if (!flags.text_given) text.assign(std::istreambuf_iterator<char>(std::cin), {});
  const auto ids = (*client)->tokenize(
      {.text = text, .parse_special = flags.parse_special, .add_special = flags.add_special});
  if (!ids.ok()) return fail(ids.error());
  if (flags.json) {
    print_json({{"ids", *ids}});
    return kExitOk;
  }
  for (const link::TokenId id : *ids) {
    const auto piece = (*client)->detokenize({id});
    if (!piece.ok()) return fail(piece.error());
    print("{:>8}  {}\n", id, dump_json(Json(*piece)));
  }
  return kExitOk;
}

int run_detokenize(const Session& session, const Flags& flags) {
  const StartEngine start = [&] {
    return start_engine(session, flags.model, {.vocab_only = true});
  };
  if (flags.jsonl) return answer_lines(start, detokenize_line);
  auto client = start();
  if (!client.ok()) return fail(client.error());
  const auto bytes = (*client)->detokenize(flags.ids);
  if (!bytes.ok()) return fail(bytes.error());
  if (flags.json) {
    print_json(text_json(*bytes));
  } else {
    write_out(*bytes + (stdout_is_terminal() ? "\n" : ""));
  }
  return kExitOk;
}

}  // namespace

void add_tokenize(Session& session) {
  const Command command = session.add_command("tokenize", "Show the tokens of a text");
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "name, or path of a GGUF file").required();
  const Option text = command.add_option("TEXT", flags->text, "the text (default: standard input)");
  command.add_flag("--parse-special", flags->parse_special, "recognise control tokens in the text");
  command.add_flag("--add-special", flags->add_special, "add the model's own BOS and EOS");
  command.add_flag("--json", flags->json, "print {\"ids\"}");
  command.add_flag("--jsonl", flags->jsonl,
                   "for each line {\"text\", \"parse_special\", \"add_special\"} of standard "
                   "input print {\"ids\"}");
  command.runs([&session, flags, text] {
    flags->text_given = text.given();
    return run_tokenize(session, *flags);
  });
}

void add_detokenize(Session& session) {
  const Command command = session.add_command("detokenize", "Show the text of tokens");
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "name, or path of a GGUF file").required();
  command.add_option("IDS", flags->ids, "token ids");
  command.add_flag("--json", flags->json, "print {\"text\", \"hex\"}");
  command.add_flag("--jsonl", flags->jsonl,
                   "for each line {\"ids\"} of standard input print {\"text\", \"hex\"}");
  command.runs([&session, flags] { return run_detokenize(session, *flags); });
}

}  // namespace maru::app
