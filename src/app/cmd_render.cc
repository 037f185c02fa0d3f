// `maru render --template FILE | --model MODEL`: the exact prompt that a chat template makes.
#include <filesystem>

#include "app/jsonl.h"
#include "app/terminal.h"
#include "app/utc.h"

namespace maru::app {
namespace {

const Json& field_or_null(const Json& line, const char* name) {
  static const Json kNull = nullptr;
  const auto found = line.find(name);
  return found == line.end() ? kNull : *found;
}

Result<Json> render_line(link::Client& client, const Json& line) {
  link::RenderRequest request;
  request.prompt.messages = field_or_null(line, "messages");
  if (!request.prompt.messages.is_array()) {
    return Error::invalid("'messages' must be an array", "messages");
  }
  request.prompt.tools = field_or_null(line, "tools");
  if (!request.prompt.tools.is_null() && !request.prompt.tools.is_array()) {
    return Error::invalid("'tools' must be an array or null", "tools");
  }
  MARU_TRY(generation_prompt, flag_field(line, "add_generation_prompt", false));
  request.prompt.add_generation_prompt = generation_prompt;
  if (const Json& kwargs = field_or_null(line, "kwargs"); !kwargs.is_null()) {
    if (!kwargs.is_object()) return Error::invalid("'kwargs' must be an object", "kwargs");
    request.prompt.template_kwargs = kwargs;
  }
  request.tokens = field_or_null(line, "tokens");
  if (!request.tokens.is_null() && !request.tokens.is_object()) {
    return Error::invalid("'tokens' must be an object", "tokens");
  }
  if (const Json& now = field_or_null(line, "now"); !now.is_null()) {
    request.now_unix_seconds = now.is_string() ? parse_utc(now.get<std::string>()) : std::nullopt;
    if (!request.now_unix_seconds) {
      return Error::invalid("'now' must be a time in UTC, \"YYYY-MM-DD HH:MM:SS\"", "now");
    }
  }
  MARU_TRY(text, client.render(request));
  return Json{{"text", text}};
}

struct Flags {
  std::string template_path;
  std::string model;
  std::string prompt;
  std::string system;
  bool jsonl = false;
};

Result<EngineClient> start_renderer(const Session& session, const Flags& flags) {
  if (flags.template_path.empty()) {
    return start_engine(session, flags.model, {.vocab_only = true});
  }
  link::LoadRequest load = load_request(session.config);
  load.template_path = std::filesystem::absolute(flags.template_path).string();
  return link::start_process_client(engine_process(session), load);
}

int run_render(const Session& session, const Flags& flags) {
  if (flags.jsonl) {
    return answer_lines([&] { return start_renderer(session, flags); }, render_line);
  }
  auto client = start_renderer(session, flags);
  if (!client.ok()) return fail(client.error());
  link::RenderRequest request;
  if (!flags.system.empty()) {
    request.prompt.messages.push_back({{"role", "system"}, {"content", flags.system}});
  }
  request.prompt.messages.push_back({{"role", "user"}, {"content", flags.prompt}});
  const auto text = (*client)->render(request);
  if (!text.ok()) return fail(text.error());
  write_out(*text + (stdout_is_terminal() ? "\n" : ""));
  return kExitOk;
}

}  // namespace

void add_render(Session& session) {
  const Command command =
      session.add_command("render", "Show the prompt that a chat template makes");
  auto flags = std::make_shared<Flags>();
  const Option file = command.add_option("--template", flags->template_path, "a Jinja file");
  command.add_option("--model", flags->model, "name, or path of a GGUF file (its own template)")
      .excludes(file);
  command.add_option("PROMPT", flags->prompt, "what the user says");
  command.add_option("--system", flags->system, "the system message");
  command.add_flag("--jsonl", flags->jsonl,
                   "for each line {\"messages\", \"tools\", \"add_generation_prompt\", "
                   "\"tokens\", \"kwargs\", \"now\"} of standard input print {\"text\"}");
  command.runs([&session, flags] {
    if (flags->template_path.empty() && flags->model.empty()) {
      return usage_error("--template FILE or --model MODEL is required", "render");
    }
    return run_render(session, *flags);
  });
}

}  // namespace maru::app
