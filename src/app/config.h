// app/config.h - every setting of Maru in one struct, from one table: file, then environment, then
// flags.
//
// main.cc fills it once before a command runs; commands only read it. The file is
// MARU_HOME/config.json; a key that it does not know refuses to start. Threads: one.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/log.h"
#include "base/result.h"

namespace maru::app {

// The tables of kernels/kernel_table.h that can be asked for.
inline constexpr char kIsaNames[] = "scalar, avx2, avxvnni, avx512 or amx";

struct Config {
  std::filesystem::path home;  // models and data
  std::string model;           // where a command names none
  std::string host = "127.0.0.1";
  uint16_t port = 6278;            // 0 = any free one
  size_t threads = 0;              // of an engine; 0 = one per core
  size_t context = 0;              // longest sequence; 0 = the model's own, bounded by memory
  std::string isa;                 // of kIsaNames; empty = the best of this machine
  int64_t keep_alive_s = 30 * 60;  // of a model that nobody uses; -1 = for ever
  size_t memory = 0;               // MiB for all engines together; 0 = what the machine has
  std::vector<std::string> pin;    // models that are loaded at start and stay
  size_t kv_disk = 2048;           // MiB of disk for the conversations of each model; 0 = none
  bool guesses = true;             // speculate: tokens are guessed from what was said before
  std::string hub = "https://huggingface.co";  // or a mirror that speaks as it does
  LogLevel log_level = LogLevel::kInfo;
};

// nullopt where the variable is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;
// A setting by its key, as a flag gave it.
using Overrides = std::vector<std::pair<std::string, std::string>>;

// Errors: kInvalidArgument naming the key, where it was set and what is accepted; kIo.
Result<Config> load_config(const Environment& environment, const Overrides& overrides);

// All settings by key, for `serve` to print at start.
Json config_json(const Config& config);

// "threads  MARU_THREADS  threads of an engine..." one line each, for `maru help config`.
std::string config_help();

}  // namespace maru::app
