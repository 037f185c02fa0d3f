// app/progress.h - the progress of a download: a bar on a terminal, a line for each tenth
// elsewhere.
//
// pull, and chat and run where they offer to pull. Writes to standard error. Threads: one.
#pragma once
#include <string>

#include "hub/pull.h"

namespace maru::app {

class ProgressBar {
 public:
  ProgressBar(std::string name, bool terminal) : name_(std::move(name)), terminal_(terminal) {}
  ~ProgressBar() { finish(); }
  void update(const hub::PullProgress& progress);
  // Leaves the bar's line. Called again it does nothing.
  void finish();

 private:
  std::string name_;
  bool terminal_;
  bool drawn_ = false;
  bool said_waiting_ = false;
  uint64_t next_tenth_ = 0;  // plain lines: the next to be said
};

}  // namespace maru::app
