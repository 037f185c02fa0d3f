// app/session.h - what a command gets: the settings, and how to register itself.
//
// main.cc makes one, every cmd_*.cc adds its subcommand to it, and after parsing exactly one
// command runs. Threads: one.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "app/command_line.h"
#include "app/config.h"
#include "base/result.h"
#include "hub/pull.h"
#include "hub/store.h"

namespace maru::app {

struct Session {
  CLI::App* root = nullptr;
  Config config;                      // filled before the command runs
  Overrides overrides;                // from flags, in order
  std::string engine_script;          // tests: scripted engines instead of real ones
  std::vector<std::string> adapters;  // of `maru serve`: [MODEL:]NAME=FILE
  bool needs_config = true;           // false: the command reads no settings
  std::function<int()> command;       // set by the subcommand that was named; gives the exit code

  Command add_command(const std::string& name, const std::string& help);
  std::optional<Command> find_command(const std::string& name);
  std::string help() const;  // of the whole program
};

// Each in cmd_NAME.cc.
void add_bench(Session& session);
void add_bench_serve(Session& session, const Command& bench);
void add_top(Session& session);
void add_chat(Session& session);
void add_dequantize(Session& session);
void add_detokenize(Session& session);
void add_embed(Session& session);
void add_engine(Session& session);
void add_grammar(Session& session);
void add_import(Session& session);
void add_list(Session& session);
void add_render(Session& session);
void add_replay(Session& session);
void add_run(Session& session);
void add_score(Session& session);
void add_serve(Session& session);
void add_show(Session& session);
void add_tokenize(Session& session);
void add_pull(Session& session);
void add_quantize(Session& session);
void add_rm(Session& session);
void add_version(Session& session);
void add_help(Session& session);

// Shows what is known of it beforehand, fetches with a progress bar, and can be stopped with Ctrl-C
// (in cmd_pull.cc).
Result<hub::StoredModel> pull_with_progress(const Session& session, const hub::Store& store,
                                            const hub::PullRequest& request);

}  // namespace maru::app
