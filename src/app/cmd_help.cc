// `maru help [COMMAND]`, `maru help config`, `maru version`.
#include <sys/utsname.h>

#include "app/build.h"
#include "app/session.h"
#include "app/terminal.h"

namespace maru::app {

void add_help(Session& session) {
  const Command command = session.add_command("help", "Explain a command, or the settings");
  auto topic = std::make_shared<std::string>();
  command.add_option("COMMAND", *topic, "a command, or `config`");
  command.runs([&session, topic] {
    if (topic->empty()) {
      write_out(session.help());
      return kExitOk;
    }
    if (*topic == "config") {
      print("Settings: MARU_HOME/config.json, then the environment, then flags.\n\n{}",
            config_help());
      return kExitOk;
    }
    const auto named = session.find_command(*topic);
    if (!named) {
      fail(Error::invalid(fmt::format("there is no command '{}'; `maru help` lists them", *topic)));
      return kExitUsage;
    }
    write_out(named->help());
    return kExitOk;
  });
}

void add_version(Session& session) {
  const Command command = session.add_command("version", "Show the version");
  auto json = std::make_shared<bool>(false);
  command.add_flag("--json", *json, "print a JSON object");
  command.runs([json] {
    if (*json) {
      utsname machine{};
      ::uname(&machine);
      print_json({{"version", kVersion},
                  {"commit", kCommit},
                  {"compiler", __VERSION__},
                  {"system", machine.sysname},
                  {"machine", machine.machine}});
    } else {
      print("maru {} ({})\n", kVersion, kCommit);
    }
    return kExitOk;
  });
}

}  // namespace maru::app
