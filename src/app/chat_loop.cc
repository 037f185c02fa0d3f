#include "app/chat_loop.h"

#include <csignal>
#include <cstdlib>
#include <optional>

#include "app/terminal.h"
#include "base/files.h"
#include "base/utf8.h"

namespace maru::app {
namespace {

constexpr size_t kConversationBytesMax = 64 << 20;
constexpr size_t kBlockBytesMax = 8 << 20;
constexpr std::string_view kFence = "\"\"\"";

constexpr std::string_view kHelp =
    "  /bye               end (or Ctrl-D)\n"
    "  /clear             forget the conversation\n"
    "  /regenerate        answer the last question again\n"
    "  /system [TEXT]     set the system message, or show it\n"
    "  /set [NAME VALUE]  set temperature and others, or show them\n"
    "  /model [NAME]      change the model, or show it\n"
    "  /save FILE         write the conversation to a file\n"
    "  /load FILE         go on with a conversation from a file\n"
    "  /verbose           show or hide tokens per second\n"
    "  \"\"\"                begins and ends a text of several lines\n"
    "  Ctrl-C             stops an answer, or drops the line\n";

void complain(const Error& error) { write_err(fmt::format("{}\n", error.message)); }

// "name rest of it" -> name, rest.
std::pair<std::string, std::string> split_word(const std::string& text) {
  const size_t space = text.find(' ');
  if (space == std::string::npos) return {text, ""};
  const size_t rest = text.find_first_not_of(' ', space);
  return {text.substr(0, space), rest == std::string::npos ? "" : text.substr(rest)};
}

}  // namespace

ChatLoop::ChatLoop(const Session& session, ChatOptions options)
    : session_(session), options_(std::move(options)), editor_(session.config.home / "history") {}

int ChatLoop::run() {
  if (const auto loaded = load_model(options_.model); !loaded.ok()) return fail(loaded.error());
  const bool person = stdin_is_terminal() && stdout_is_terminal();
  if (person) {
    write_err(fmt::format("{}, context {} tokens. /help lists the commands.\n", options_.model,
                          client_->card().n_ctx));
  }
  // A Ctrl-C that comes when its answer has just ended stops nothing, and not the program.
  std::optional<Interrupts> between_answers;
  if (person) {
    between_answers.emplace([this](int signal) {
      if (signal != SIGTERM) return;
      editor_.release();
      std::_Exit(kExitOk);
    });
  }
  while (true) {
    auto [outcome, line] = editor_.read(">>> ");
    if (outcome == LineEditor::Outcome::kEnd) {
      if (person) write_out("\n");
      break;
    }
    if (outcome == LineEditor::Outcome::kInterrupted) {
      write_err("/bye or Ctrl-D ends.\n");
      continue;
    }
    if (line.starts_with(kFence)) line = read_block(line.substr(kFence.size()));
    if (line.find_first_not_of(" \t\n") == std::string::npos) continue;
    editor_.remember(line);
    const bool go_on = line.front() == '/' ? command(line) : turn(line);
    if (!go_on) break;
  }
  return failed_ && !person ? kExitFailed : kExitOk;
}

std::string ChatLoop::read_block(std::string first) {
  std::string text = std::move(first);
  while (text.size() < kBlockBytesMax) {
    if (const size_t end = text.find(kFence); end != std::string::npos) {
      return text.substr(0, end);
    }
    const auto [outcome, line] = editor_.read("... ");
    if (outcome == LineEditor::Outcome::kInterrupted) return "";
    if (outcome == LineEditor::Outcome::kEnd) return text;
    text += (text.empty() ? "" : "\n") + line;
  }
  write_err("that text is too long\n");
  return "";
}

Result<void> ChatLoop::load_model(const std::string& name) {
  editor_.release();  // it may ask whether to fetch
  MARU_TRY(client, start_engine(session_, name, {.for_text = true}));
  if (!client->card().has_chat_template) {
    return Error::unsupported(fmt::format(
        "{} is a base model without a chat template: it continues text and cannot chat. `maru run "
        "{} \"Once upon a time\"` continues one",
        name, name));
  }
  client_ = std::move(client);
  options_.model = name;
  return {};
}

link::ChatPrompt ChatLoop::prompt() const {
  link::ChatPrompt prompt;
  if (!options_.system.empty()) {
    prompt.messages.push_back({{"role", "system"}, {"content", options_.system}});
  }
  for (const Json& message : messages_) prompt.messages.push_back(message);
  return prompt;
}

bool ChatLoop::turn(const std::string& text) {
  if (!is_valid_utf8(text)) {
    write_err("that is not UTF-8 text\n");
    failed_ = true;
    return true;
  }
  messages_.push_back({{"role", "user"}, {"content", text}});
  return answer();
}

// Requires: the last message is the user's. A failed turn takes it back.
bool ChatLoop::answer() {
  if (!client_->alive()) {
    if (const auto loaded = load_model(options_.model); !loaded.ok()) {
      complain(loaded.error());
      messages_.erase(messages_.size() - 1);
      failed_ = true;
      return true;
    }
  }
  link::GenerateRequest request = generate_request(options_.settings);
  request.prompt = prompt();
  const Answer answer = stream_answer(*client_, std::move(request), write_out);
  // The terminal is silent during an answer (line_editor.h): the key is shown here.
  const bool by_key = answer.interrupted && !answer.terminated && stdin_is_terminal();
  write_out(by_key ? "^C\n" : "\n");
  failed_ = answer.error.has_value();
  if (answer.error) {
    complain(*answer.error);
    if (answer.error->param == link::kContextLengthExceeded) {
      write_err("/clear starts a new conversation.\n");
    }
    messages_.erase(messages_.size() - 1);
    return !answer.terminated;
  }
  messages_.push_back({{"role", "assistant"}, {"content", answer.text}});
  if (answer.done->reason == link::FinishReason::kLength) {
    write_err("(cut at the longest answer or the end of the context)\n");
  }
  if (options_.verbose) write_err(describe(answer.done->usage) + "\n");
  return !answer.terminated;
}

void ChatLoop::regenerate() {
  if (messages_.empty()) {
    write_err("there is no answer yet\n");
    return;
  }
  messages_.erase(messages_.size() - 1);  // the answer; the question before it stays
  answer();
}

bool ChatLoop::command(const std::string& line) {
  const auto [name, rest] = split_word(line);
  Result<void> outcome;
  if (name == "/bye" || name == "/exit" || name == "/quit") return false;
  if (name == "/help" || name == "/?") {
    write_err(kHelp);
  } else if (name == "/clear") {
    messages_.clear();
    write_err("forgotten\n");
  } else if (name == "/regenerate") {
    regenerate();
  } else if (name == "/system") {
    if (rest.empty()) {
      write_err(options_.system.empty() ? "no system message\n" : options_.system + "\n");
    } else {
      options_.system = rest.starts_with(kFence) ? read_block(rest.substr(kFence.size())) : rest;
    }
  } else if (name == "/set") {
    const auto [setting, value] = split_word(rest);
    if (setting.empty()) {
      write_err(describe(options_.settings));
    } else {
      outcome = set_by_name(options_.settings, setting, value);
    }
  } else if (name == "/model") {
    if (rest.empty()) {
      write_err(options_.model + "\n");
    } else {
      outcome = load_model(rest);
    }
  } else if (name == "/save") {
    outcome = save(rest);
  } else if (name == "/load") {
    outcome = load(rest);
  } else if (name == "/verbose") {
    options_.verbose = !options_.verbose;
    write_err(options_.verbose ? "tokens per second are shown\n"
                               : "tokens per second are hidden\n");
  } else {
    outcome = Error::invalid(fmt::format("there is no command {}; /help lists them", name));
  }
  if (!outcome.ok()) complain(outcome.error());
  return true;
}

Result<void> ChatLoop::save(const std::string& path) const {
  if (path.empty()) return Error::invalid("/save needs the name of a file");
  const Json json = {
      {"model", options_.model}, {"system", options_.system}, {"messages", messages_}};
  return write_file_atomic(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Result<void> ChatLoop::load(const std::string& path) {
  MARU_TRY(text, read_file(path, kConversationBytesMax));
  MARU_TRY(json, parse_json(text));
  const auto wrong = [&](const char* what) {
    return Error::invalid(fmt::format("'{}' is no saved conversation: {}", path, what));
  };
  if (!json.is_object() || !json.contains("messages") || !json["messages"].is_array()) {
    return wrong("it has no array 'messages'");
  }
  const Json& messages = json["messages"];
  for (size_t i = 0; i < messages.size(); ++i) {
    const char* role = i % 2 == 0 ? "user" : "assistant";
    if (!messages[i].is_object() || messages[i].value("role", Json()) != role ||
        !messages[i].value("content", Json()).is_string()) {
      return wrong("its messages are not the user's and the assistant's in turn");
    }
  }
  if (messages.size() % 2 != 0) return wrong("its last message has no answer");
  messages_ = messages;
  if (json.contains("system") && json["system"].is_string()) {
    options_.system = json["system"].get<std::string>();
  }
  write_err(fmt::format("{} messages\n", messages_.size()));
  return {};
}

}  // namespace maru::app
