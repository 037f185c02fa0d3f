// app/main.cc - the program: registers the commands, reads flags and settings, runs one command.
//
// Exit codes: 0; 1 the command failed; 2 it was called wrongly.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <exception>

#include "app/session.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

// CLI11 would only say that an argument was not expected.
std::optional<std::string> unknown_command(Session& session, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-' || session.find_command(argv[1])) return std::nullopt;
  std::vector<std::string> names;
  for (const CLI::App* command : session.root->get_subcommands([](CLI::App*) { return true; })) {
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  const auto nearest = hub::nearest_names(argv[1], names, 1);
  return fmt::format("there is no command '{}'{}", argv[1],
                     nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest.front()));
}

int run(int argc, char** argv) {
  CLI::App root("Maru: runs open models on this machine.", "maru");
  Session session;
  session.root = &root;
  // One at most: in `maru run MODEL list` the last word is a prompt and no command.
  root.require_subcommand(0, 1);
  root.set_version_flag("--version", "maru " MARU_VERSION);
  Command(&root, &session).add_setting("home", "folder of models and data (MARU_HOME)");
  add_serve(session);
  add_chat(session);
  add_run(session);
  add_pull(session);
  add_list(session);
  add_show(session);
  add_rm(session);
  add_tokenize(session);
  add_detokenize(session);
  add_score(session);
  add_embed(session);
  add_render(session);
  add_replay(session);
  add_quantize(session);
  add_dequantize(session);
  add_import(session);
  add_grammar(session);
  add_bench(session);
  add_top(session);
  add_version(session);
  add_help(session);
  add_engine(session);
  root.footer("`maru help COMMAND` explains a command, `maru help config` the settings.");

  if (const auto message = unknown_command(session, argc, argv)) return usage_error(*message, "");
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return root.exit(error);  // --help, --version
    const auto named = root.get_subcommands();
    return usage_error(error.what(), named.empty() ? "" : named.front()->get_name());
  }
  if (!session.command) {
    write_out(root.help());
    return kExitOk;
  }
  if (!session.needs_config) return session.command();
  auto config = load_config(environment_variable, session.overrides);
  if (!config.ok()) {
    fail(config.error());
    return kExitUsage;
  }
  session.config = std::move(config).value();
  set_log_level(session.config.log_level);
  return session.command();
}

}  // namespace

}  // namespace maru::app

int main(int argc, char** argv) {
  // Both arrive as errors of write(), which say more: a reader that is gone, a file size limit.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return maru::app::run(argc, argv);
  } catch (const std::exception& error) {  // of a library; house code throws nothing
    return maru::app::fail(maru::Error::internal(error.what()));
  }
}
