// `maru chat [MODEL]` and `maru run MODEL [PROMPT]`.
#include <fmt/ranges.h>

#include <iostream>
#include <iterator>

#include "app/chat_loop.h"
#include "app/terminal.h"
#include "base/utf8.h"

namespace maru::app {
namespace {

struct Flags {
  ChatOptions chat;
  std::vector<std::string> prompt;
  bool json = false;
  bool raw = false;
};

void add_common_flags(const Command& command, Flags* flags) {
  command.add_option("--system", flags->chat.system, "the system message");
  command.add_flag("-v,--verbose", flags->chat.verbose, "show tokens per second");
  add_answer_flags(command, &flags->chat.settings);
  command.add_setting("threads", "threads of the engine");
  command.add_setting("context", "longest sequence in tokens");
  command.add_setting("isa", kIsaNames);
  command.add_engine_script();
}

int run_chat(const Session& session, Flags flags) {
  if (flags.chat.model.empty()) flags.chat.model = session.config.model;
  // The history lies there; a folder that cannot be made is said in full by find_model().
  if (const auto store = hub::Store::open(session.config.home); !store.ok()) {
    return fail(store.error());
  }
  return ChatLoop(session, std::move(flags.chat)).run();
}

// The prompt of the command line, then what a pipe brings without the end of its last line: `echo`
// and files end in one, and a model would answer to it.
std::string one_shot_prompt(const Flags& flags) {
  std::string prompt = fmt::format("{}", fmt::join(flags.prompt, " "));
  if (stdin_is_terminal()) return prompt;
  std::string piped(std::istreambuf_iterator<char>(std::cin), {});
  if (piped.ends_with('\n')) piped.pop_back();
  if (piped.ends_with('\r')) piped.pop_back();
  if (piped.find_first_not_of(" \t\r\n") == std::string::npos) return prompt;
  return prompt.empty() ? piped : prompt + "\n\n" + piped;
}

link::Prompt make_prompt(const Flags& flags, const link::ModelCard& card, std::string text) {
  if (flags.raw || !card.has_chat_template) return link::TextPrompt{.text = std::move(text)};
  link::ChatPrompt prompt;
  if (!flags.chat.system.empty()) {
    prompt.messages.push_back({{"role", "system"}, {"content", flags.chat.system}});
  }
  prompt.messages.push_back({{"role", "user"}, {"content", std::move(text)}});
  return prompt;
}

int run_once(const Session& session, const Flags& flags, std::string text) {
  if (text.empty()) {
    fail(Error::invalid("there is nothing to answer: give a prompt, or pipe one in"));
    return kExitUsage;
  }
  if (!is_valid_utf8(text)) {
    return fail(Error::invalid(
        fmt::format("the prompt is not UTF-8 text (byte {})", find_invalid_utf8(text))));
  }
  auto client = start_engine(session, flags.chat.model, {.for_text = true});
  if (!client.ok()) return fail(client.error());
  const bool is_raw = flags.raw || !(*client)->card().has_chat_template;
  if (is_raw && !flags.chat.system.empty()) {
    return fail(Error::invalid(fmt::format(
        "--system needs a chat template, and {}",
        flags.raw ? "--raw leaves it out" : flags.chat.model + " has none: it continues text")));
  }
  link::GenerateRequest request = generate_request(flags.chat.settings);
  request.prompt = make_prompt(flags, (*client)->card(), std::move(text));
  const auto show = [&](std::string_view piece) {
    if (!flags.json) write_out(piece);
  };
  const Answer answer = stream_answer(**client, std::move(request), show);
  if (!flags.json && !answer.text.empty() && answer.text.back() != '\n') write_out("\n");
  if (answer.error) return fail(*answer.error);
  if (flags.json) {
    print_json({{"model", flags.chat.model},
                {"text", answer.text},
                {"finish_reason", finish_reason_name(answer.done->reason)},
                {"usage", usage_json(answer.done->usage)}});
  }
  if (flags.chat.verbose) write_err(describe(answer.done->usage) + "\n");
  return answer.interrupted ? kExitFailed : kExitOk;
}

}  // namespace

void add_chat(Session& session) {
  const Command command = session.add_command("chat", "Talk with a model");
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->chat.model,
                     "name, or path of a GGUF file (default: " + hub::default_model().name + ")");
  add_common_flags(command, flags.get());
  command.runs([&session, flags] { return run_chat(session, *flags); });
}

void add_run(Session& session) {
  const Command command =
      session.add_command("run", "Answer one prompt; standard input is part of it");
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->chat.model, "name, or path of a GGUF file").required();
  command.add_option("PROMPT", flags->prompt, "what to answer");
  command.add_flag("--raw", flags->raw, "continue the text as it is, without the chat template");
  command.add_flag("--json", flags->json,
                   "print {\"text\", \"finish_reason\", \"usage\"} at the end");
  add_common_flags(command, flags.get());
  command.runs([&session, flags] {
    // Without a prompt, on a terminal, people expect to talk.
    const bool talk = flags->prompt.empty() && stdin_is_terminal() && !flags->json;
    if (talk) return run_chat(session, *flags);
    return run_once(session, *flags, one_shot_prompt(*flags));
  });
}

}  // namespace maru::app
