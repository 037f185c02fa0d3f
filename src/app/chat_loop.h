// app/chat_loop.h - `maru chat`: turns with a model, and the /commands between them.
//
// Standard output carries the answers; hints and errors go to standard error. Threads: one.
#pragma once
#include <string>

#include "app/answer.h"
#include "app/engine.h"
#include "app/line_editor.h"

namespace maru::app {

struct ChatOptions {
  std::string model;
  std::string system;
  AnswerSettings settings;
  bool verbose = false;
};

class ChatLoop {
 public:
  ChatLoop(const Session& session, ChatOptions options);
  // Until /bye, Ctrl-D or the end of standard input. Gives the exit code.
  int run();

 private:
  Result<void> load_model(const std::string& name);
  // False to end.
  bool turn(const std::string& text);
  bool answer();
  bool command(const std::string& line);
  std::string read_block(std::string first);
  Result<void> save(const std::string& path) const;
  Result<void> load(const std::string& path);
  void regenerate();
  link::ChatPrompt prompt() const;

  const Session& session_;
  ChatOptions options_;
  LineEditor editor_;
  EngineClient client_;
  Json messages_ = Json::array();  // without the system message
  bool failed_ = false;            // of the last turn, for the exit code where nobody watches
};

}  // namespace maru::app
