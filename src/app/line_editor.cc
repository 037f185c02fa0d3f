#include "app/line_editor.h"

#include <histedit.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "app/terminal.h"

namespace maru::app {
namespace {
constexpr int kHistoryEntriesMax = 1000;
}

struct LineEditor::Impl {
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string history_path;
  std::string prompt;
  bool interrupted = false;
  termios found{};                    // the terminal's modes before us
  std::atomic<bool> holding = false;  // the modes between two lines are ours

  // A terminal that is between two lines keeps what is typed byte by byte and unseen. In its usual
  // mode it would show it at once, and turn a Ctrl-D typed too early into a byte of another
  // meaning. Ctrl-C stays a signal there.
  void hold() {
    if (!holding.exchange(true)) el_set(editor, EL_SETTY, "-x", "-icanon", "-echo", nullptr);
  }
  // What was typed stays, for whoever reads next.
  void release() {
    if (holding.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &found);
  }

  static Impl* of(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return static_cast<Impl*>(data);
  }
  static char* prompt_of(EditLine* editor) { return of(editor)->prompt.data(); }
  static unsigned char on_interrupt(EditLine* editor, int) {
    of(editor)->interrupted = true;
    return CC_EOF;
  }
};

LineEditor::LineEditor(const std::filesystem::path& history) {
  if (!stdin_is_terminal() || !stdout_is_terminal()) return;
  std::setlocale(LC_CTYPE, "");
  // Without a locale of its own (ssh, chroot) a person still types Korean.
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  impl_ = std::make_unique<Impl>();
  impl_->history_path = history.string();
  impl_->history = history_init();
  CHECK(impl_->history != nullptr);
  HistEvent event{};
  ::history(impl_->history, &event, H_SETSIZE, kHistoryEntriesMax);
  ::history(impl_->history, &event, H_SETUNIQUE, 1);
  ::history(impl_->history, &event, H_LOAD, impl_->history_path.c_str());

  CHECK(::tcgetattr(STDIN_FILENO, &impl_->found) == 0);
  impl_->editor = el_init("maru", stdin, stdout, stderr);
  CHECK(impl_->editor != nullptr);
  EditLine* editor = impl_->editor;
  el_set(editor, EL_CLIENTDATA, impl_.get());
  el_set(editor, EL_PROMPT, &Impl::prompt_of);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_SIGNAL, 1);
  el_set(editor, EL_HIST, ::history, impl_->history);
  // Ctrl-C is a key while a line is typed: it drops the line and not the program.
  el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  el_set(editor, EL_ADDFN, "maru-interrupt", "Drop this line", &Impl::on_interrupt);
  el_set(editor, EL_BIND, "^C", "maru-interrupt", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  el_set(editor, EL_BIND, "\\e[1~", "ed-move-to-beg", nullptr);
  el_set(editor, EL_BIND, "\\e[4~", "ed-move-to-end", nullptr);
  el_set(editor, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
  el_set(editor, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
}

LineEditor::~LineEditor() {
  if (!impl_) return;
  impl_->release();
  el_set(impl_->editor, EL_EDITMODE, 0);  // else el_end() drops what was typed for the shell
  el_end(impl_->editor);
  history_end(impl_->history);
}

LineEditor::Read LineEditor::read(const std::string& prompt) {
  if (!impl_) {
    std::string line;
    if (!std::getline(std::cin, line)) return {Outcome::kEnd, ""};
    return {Outcome::kLine, std::move(line)};
  }
  impl_->prompt = prompt;
  impl_->interrupted = false;
  impl_->hold();
  // Before the prompt, not after it as el_gets() would: whoever sees it may type Ctrl-C and Ctrl-D.
  el_set(impl_->editor, EL_PREP_TERM, 1);
  int n_bytes = 0;
  const char* line = el_gets(impl_->editor, &n_bytes);
  if (impl_->interrupted) {
    write_out("^C\n");
    return {Outcome::kInterrupted, ""};
  }
  if (line == nullptr || n_bytes <= 0) return {Outcome::kEnd, ""};
  std::string text(line, static_cast<size_t>(n_bytes));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return {Outcome::kLine, std::move(text)};
}

void LineEditor::release() {
  if (impl_) impl_->release();
}

void LineEditor::remember(const std::string& line) {
  if (!impl_ || line.find_first_not_of(" \t\n") == std::string::npos) return;
  HistEvent event{};
  ::history(impl_->history, &event, H_ENTER, line.c_str());
  ::history(impl_->history, &event, H_SAVE, impl_->history_path.c_str());
}

}  // namespace maru::app
