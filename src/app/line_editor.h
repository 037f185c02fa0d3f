// app/line_editor.h - a line that a person types: editing, history in a file, Ctrl-C and Ctrl-D.
//
// maru chat. On a terminal by libedit; from a pipe plainly, without prompts. Threads: one.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

namespace maru::app {

class LineEditor {
 public:
  enum class Outcome { kLine, kInterrupted, kEnd };
  struct Read {
    Outcome outcome;
    std::string line;  // without its end
  };

  // Requires: the history's folder exists. A history that cannot be read or written is none.
  explicit LineEditor(const std::filesystem::path& history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  Read read(const std::string& prompt);
  // Adds an entry to the history and its file.
  void remember(const std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;  // null where standard input is no terminal
};

}  // namespace maru::app
