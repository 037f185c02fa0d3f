// `maru engine` (hidden): the engine role. The gateway and the commands start it with a socket as
// descriptor 3; see docs/formats/engine-protocol.md.
#include "app/session.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/files.h"
#include "link/engine_host.h"
#include "link/scripted_engine.h"
#include "link/wire.h"

namespace maru::app {
namespace {

constexpr size_t kScriptBytesMax = 16 << 20;

int run_scripted(const std::string& path, int fd, const Clock& clock) {
  const auto text = read_file(path, kScriptBytesMax);
  if (!text.ok()) return fail(text.error());
  const auto script = link::parse_script(*text);
  if (!script.ok()) return fail(script.error());
  link::serve_scripted(fd, *script, {.clock = &clock, .die_by_signal = true});
  return kExitOk;
}

}  // namespace

void add_engine(Session& session) {
  const Command command = session.add_command("engine", "The engine role");
  command.hide();
  auto fd = std::make_shared<int>(link::kEngineFd);
  auto script = std::make_shared<std::string>();
  command.add_option("--fd", *fd, "the socket to the client");
  command.add_option("--scripted", *script, "answer by this script");
  // An engine knows nothing but what Load tells it.
  command.runs_without_config([fd, script] {
    const SystemClock clock;
    if (!script->empty()) return run_scripted(*script, *fd, clock);
    link::serve_engine(*fd, {.clock = &clock, .harden = true, .kv_file_fd = link::kKvFileFd});
    return kExitOk;
  });
}

}  // namespace maru::app
