// `maru grammar [--schema FILE | --regex TEXT | --gbnf FILE]`: whether texts belong to a grammar,
// as answers constrained by it do.
#include <iostream>
#include <iterator>

#include "app/jsonl.h"
#include "app/terminal.h"
#include "base/files.h"
#include "grammar/grammar.h"

namespace maru::app {
namespace {

using grammar::GrammarKind;
using grammar::GrammarSpec;

Result<GrammarSpec> spec_of(const Json& line) {
  const size_t n = line.contains("schema") + line.contains("regex") + line.contains("gbnf") +
                   line.contains("choice");
  if (n != 1) return Error::invalid("a line has one of 'schema', 'regex', 'gbnf' and 'choice'");
  if (line.contains("schema")) {
    return GrammarSpec{GrammarKind::kJsonSchema, dump_json(line["schema"]), {}};
  }
  if (line.contains("choice")) {
    GrammarSpec spec{.kind = GrammarKind::kChoice, .source = {}, .choices = {}};
    const Error wrong = Error::invalid("'choice' must be an array of strings", "choice");
    if (!line["choice"].is_array()) return wrong;
    for (const Json& choice : line["choice"]) {
      if (!choice.is_string()) return wrong;
      spec.choices.push_back(choice.get<std::string>());
    }
    return spec;
  }
  const bool is_regex = line.contains("regex");
  MARU_TRY(source, text_field(line, is_regex ? "regex" : "gbnf"));
  return GrammarSpec{is_regex ? GrammarKind::kRegex : GrammarKind::kGbnf, std::move(source), {}};
}

// Lines often ask about one grammar again and again.
class Checker {
 public:
  Result<bool> accepts(const GrammarSpec& spec, const std::string& text) {
    if (program_ == nullptr || !(spec == spec_)) {
      program_ = nullptr;
      MARU_TRY(program, grammar::compile(spec));
      program_ = std::move(program);
      spec_ = spec;
    }
    auto accepted = grammar::accepts(*program_, text);
    if (!accepted.ok()) program_ = nullptr;  // its limits are spent
    return accepted;
  }

 private:
  GrammarSpec spec_;
  std::unique_ptr<grammar::Program> program_;
};

Result<Json> answer(Checker& checker, const Json& line) {
  MARU_TRY(spec, spec_of(line));
  MARU_TRY(text, text_field(line, "text"));
  MARU_TRY(accepts, checker.accepts(spec, text));
  return Json{{"accepts", accepts}};
}

struct Flags {
  bool jsonl = false;
  std::string schema;
  std::string regex;
  std::string gbnf;
};

int run_grammar(const Flags& flags) {
  Checker checker;
  if (flags.jsonl) return answer_lines([&](const Json& line) { return answer(checker, line); });
  GrammarSpec spec{GrammarKind::kRegex, flags.regex, {}};
  const std::string& path = flags.schema.empty() ? flags.gbnf : flags.schema;
  if (!path.empty()) {
    auto source = read_file(path, grammar::kSourceBytesMax);
    if (!source.ok()) return fail(source.error());
    spec = {flags.schema.empty() ? GrammarKind::kGbnf : GrammarKind::kJsonSchema,
            std::move(source).value(),
            {}};
  } else if (flags.regex.empty()) {
    return usage_error("give --schema, --regex, --gbnf or --jsonl", "grammar");
  }
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  const auto accepts = checker.accepts(spec, text);
  if (!accepts.ok()) return fail(accepts.error());
  print("{}\n", *accepts ? "accepted" : "not accepted");
  return kExitOk;
}

}  // namespace

void add_grammar(Session& session) {
  const Command command =
      session.add_command("grammar", "Check whether a text belongs to a grammar");
  auto flags = std::make_shared<Flags>();
  const Option schema = command.add_option("--schema", flags->schema, "a file with a JSON schema");
  const Option regex = command.add_option("--regex", flags->regex, "a regular expression");
  const Option gbnf = command.add_option("--gbnf", flags->gbnf, "a file with a GBNF grammar");
  regex.excludes(schema);
  gbnf.excludes(schema);
  gbnf.excludes(regex);
  command.add_flag("--jsonl", flags->jsonl,
                   "for each line {\"schema\" | \"regex\" | \"gbnf\" | \"choice\", \"text\"} of "
                   "standard input print {\"accepts\"}");
  command.runs_without_config([flags] { return run_grammar(*flags); });
}

}  // namespace maru::app
