// app/new_file.h - a large file that a hardened child process writes and this one gives its name.
//
// `maru quantize` and `maru import` make their files through it: the child, which reads what came
// from outside, can write to nothing but the file that it inherits open. Threads: one.
#pragma once
#include <filesystem>

#include "app/terminal.h"
#include "base/atomic_file.h"
#include "base/function_ref.h"
#include "base/result.h"

namespace maru::app {

// Runs `make` in the child, with the file under its temporary name; commits the file if all went
// well. Gives the exit code of the command. Requires: no thread was started yet.
int make_new_file(const std::filesystem::path& out, FunctionRef<Result<void>(AtomicFile&)> make);

// Errors: kResourceExhausted where the folder of `out` has less than n_bytes left.
Result<void> check_space(const std::filesystem::path& out, uint64_t n_bytes);

// "importing  42%", on a line that is written over, or every 10 % where nobody looks.
class PercentLine {
 public:
  explicit PercentLine(std::string_view what) : what_(what) {}
  void update(uint64_t done, uint64_t total);
  void finish() const;

 private:
  std::string_view what_;
  bool terminal_ = stderr_is_terminal();
  uint64_t next_ = 0;
};

}  // namespace maru::app
