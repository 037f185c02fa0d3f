// app/line_editor.h - a line that a person types: editing, history in a file, Ctrl-C and Ctrl-D.
//
// maru chat. On a terminal by libedit; from a pipe plainly, without prompts. From the first read()
// on it holds the terminal, also between two lines: what is typed meanwhile is neither shown in the
// middle of an answer nor lost, and waits for the next prompt. Threads: one, but release().
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
  // Gives the terminal back as it was found, until the next read(). From any thread.
  void release();
  // Adds an entry to the history and its file.
  void remember(const std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;  // null where standard input is no terminal
};

}  // namespace maru::app
