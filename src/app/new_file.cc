#include "app/new_file.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "app/terminal.h"
#include "link/harden.h"

namespace maru::app {
namespace {

namespace fs = std::filesystem;

// How the child ended, as an exit code of this process.
int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return fail(Error::io("the converting process was lost"));
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  if (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM) {
    return fail({ErrorCode::kCancelled, "stopped; nothing was written", {}});
  }
  return fail(Error::corrupt(fmt::format(
      "the converting process died of signal {}: was a file of the model cut while it was read?",
      WTERMSIG(status))));
}

}  // namespace

void PercentLine::update(uint64_t done, uint64_t total) {
  const uint64_t percent = total == 0 ? 100 : done * 100 / total;
  if (percent < next_) return;
  write_err(terminal_ ? fmt::format("\r{} {:3}%", what_, percent)
                      : fmt::format("{} {}%\n", what_, percent));
  next_ = percent + (terminal_ ? 1 : 10);
}

void PercentLine::finish() const {
  if (terminal_) write_err("\r\x1b[K");
}

Result<void> check_space(const fs::path& out, uint64_t n_bytes) {
  std::error_code error;
  const fs::path folder = out.has_parent_path() ? out.parent_path() : fs::path(".");
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available >= n_bytes) return {};
  return Error::exhausted(fmt::format("'{}' has {} left, the new file needs {}", folder.string(),
                                      human_bytes(space.available), human_bytes(n_bytes)));
}

int make_new_file(const fs::path& out, FunctionRef<Result<void>(AtomicFile&)> make) {
  std::error_code ignored;
  if (fs::exists(out, ignored)) {
    return fail(Error::invalid(fmt::format("'{}' exists; nothing was replaced", out.string())));
  }
  auto file = AtomicFile::create(out);
  if (!file.ok()) return fail(file.error());
  const pid_t child = ::fork();
  if (child < 0) return fail(Error::io(fmt::format("cannot fork: {}", std::strerror(errno))));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    link::harden_engine();
    const auto done = make(file.value());
    ::_exit(done.ok() ? kExitOk : fail(done.error()));
  }
  // Ctrl-C ends the child; this process stays to remove the file.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  if (const int code = wait_for(child); code != kExitOk) return code;
  const auto committed = file->commit(AtomicFile::Existing::kKeep);
  return committed.ok() ? kExitOk : fail(committed.error());
}

}  // namespace maru::app
