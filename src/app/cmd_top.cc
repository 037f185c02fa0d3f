// `maru top`: what the engines of a running server do, looked at again and again.
#include <chrono>
#include <semaphore>

#include "app/session.h"
#include "app/terminal.h"
#include "app/top_view.h"
#include "hub/http.h"

namespace maru::app {
namespace {

struct Flags {
  std::string url;
  size_t seconds = 2;
  bool once = false;
};

Result<Metrics> fetch(hub::HttpTransport& transport, const std::string& url) {
  MARU_TRY(answer, hub::http_get_text(transport, {.url = url + "/metrics"}, {}));
  if (answer.response.status != 200) {
    return Error::unavailable(
        fmt::format("{} answered with status {}", url, answer.response.status));
  }
  return Metrics::parse(answer.body);
}

// The table where it stood before: home, then what is left of older lines is cleared.
void show(const std::string& url, const std::string& table) {
  std::string out = "\x1b[H" + fmt::format("maru at {}", url) + "\x1b[K\n\x1b[K\n";
  for (const char c : table) {
    if (c == '\n') out += "\x1b[K";
    out += c;
  }
  write_out(out + "\x1b[J");
}

int run_top(const Session& session, Flags flags) {
  if (flags.url.empty()) flags.url = fmt::format("http://127.0.0.1:{}", session.config.port);
  while (flags.url.ends_with('/')) flags.url.pop_back();
  hub::CurlTransport transport;
  auto now = fetch(transport, flags.url);
  if (!now.ok()) return fail(now.error());
  if (flags.once || !stdout_is_terminal()) {
    write_out(top_table(*now, nullptr, 0));
    return kExitOk;
  }
  std::binary_semaphore stop(0);
  const Interrupts interrupts([&stop](int) { stop.release(); });
  write_out("\x1b[2J");
  show(flags.url, top_table(*now, nullptr, 0));
  auto then = std::chrono::steady_clock::now();
  while (!stop.try_acquire_for(std::chrono::seconds(flags.seconds))) {
    auto next = fetch(transport, flags.url);
    if (!next.ok()) return fail(next.error());
    const auto time = std::chrono::steady_clock::now();
    const std::chrono::duration<double> between = time - then;
    show(flags.url, top_table(*next, &*now, between.count()));
    now = std::move(next);
    then = time;
  }
  write_out("\n");
  return kExitOk;
}

}  // namespace

void add_top(Session& session) {
  const Command command =
      session.add_command("top", "Show what the engines of a running server do");
  auto flags = std::make_shared<Flags>();
  command
      .add_option("--url", flags->url,
                  "of the server (default: this machine, on the configured port)")
      .value_name("URL");
  command.add_option("--seconds", flags->seconds, "between two looks").range(1, 3600);
  command.add_flag("--once", flags->once,
                   "print the sums since the start, once; also where the output is no terminal");
  command.add_setting("port", "of the server on this machine");
  command.runs([&session, flags] { return run_top(session, *flags); });
}

}  // namespace maru::app
