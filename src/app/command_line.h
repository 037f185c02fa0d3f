// app/command_line.h - what a command says about the words behind it: a thin layer over CLI11.
//
// Every cmd_*.cc registers itself through it. CLI11 is all header and costs ten seconds of
// compiling wherever it is included: only command_line.cc and main.cc do. Threads: one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace maru::app {

struct Session;

// Calls chain: add_option(...).required(). A handle; the option lives as long as the program's
// parser.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option required() const;
  Option excludes(Option other) const;
  Option range(size_t least, size_t most) const;
  Option value_name(const std::string& name) const;  // what the help shows: N, TEXT
  Option one_value_each() const;                     // of a list: --stop A --stop B
  Option hidden() const;
  bool given() const;  // after parsing

 private:
  CLI::Option* option_;
};

// A subcommand. A handle as well; values are bound by reference and must outlive the parsing.
// Names: "MODEL" is a word by its position, "-v,--verbose" a flag with two spellings.
class Command {
 public:
  Command(CLI::App* app, Session* session) : app_(app), session_(session) {}

  Option add_option(const std::string& name, std::string& value, const std::string& help) const;
  Option add_option(const std::string& name, size_t& value, const std::string& help) const;
  Option add_option(const std::string& name, int& value, const std::string& help) const;
  Option add_option(const std::string& name, std::vector<std::string>& values,
                    const std::string& help) const;
  Option add_option(const std::string& name, std::vector<int32_t>& values,
                    const std::string& help) const;
  Option add_flag(const std::string& name, bool& value, const std::string& help) const;
  // An error of the setter is a usage error.
  Option add_setter(const std::string& name, std::function<Result<void>(const std::string&)> setter,
                    const std::string& help) const;
  // --KEY VALUE for a setting of Config.
  void add_setting(const std::string& key, const std::string& help) const;
  void add_engine_script() const;  // the hidden --engine-script FILE

  // A command below this one; where it is named, this one does nothing.
  Command add_command(const std::string& name, const std::string& help) const;
  void alias(const std::string& name) const;
  void hide() const;

  // What the command does, and its exit code: called after the settings were read.
  void runs(std::function<int()> body) const;
  void runs_without_config(std::function<int()> body) const;

  std::string help() const;

 private:
  CLI::App* app_;
  Session* session_;
};

}  // namespace maru::app
