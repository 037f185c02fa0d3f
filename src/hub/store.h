// hub/store.h - the models on this machine: files under HOME/models, each with a small JSON beside
// it that says where it came from.
//
// app/ and serve/ find models through it; hub/pull.h adds to it. It never looks inside a model
// file (only the engine process parses GGUF). HOME is passed in: nothing here reads the
// environment.
// Layout: HOME/version; HOME/models/<name, ':' as '-'>.gguf and .json; HOME/downloads/
// (hub/pull.h). Threads: a Store holds no state but its path; any.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maru::hub {

struct StoredModel {
  std::string name;
  std::filesystem::path path;
  uint64_t bytes = 0;
  // From the sidecar; empty for a GGUF file that somebody put into the folder or named by path.
  std::string source;
  std::string sha256;
  std::string licence;
  int64_t pulled_at = 0;    // Unix seconds; 0 = unknown
  int64_t modified_at = 0;  // of the file
};

// "qwen2.5-coder:1.5b" -> "qwen2.5-coder-1.5b", as files are called.
std::string file_stem(std::string_view name);

// At most n of the candidates that a person who typed `wanted` may have meant, best first.
std::vector<std::string> nearest_names(std::string_view wanted,
                                       const std::vector<std::string>& candidates, size_t n);

class Store {
 public:
  // Makes the folders where they are missing (readable by their owner alone).
  // Errors: kIo; kUnsupported where a newer Maru wrote HOME.
  static Result<Store> open(const std::filesystem::path& home);

  const std::filesystem::path& home() const { return home_; }
  std::filesystem::path model_path(std::string_view name) const;

  // By name; a file without a sidecar is listed too.
  Result<std::vector<StoredModel>> list() const;
  // A catalogue name or alias, the name of a file in the store, or a path to a file.
  // Errors: kNotFound, with the nearest names and the command that would fetch it.
  Result<StoredModel> find(std::string_view name_or_path) const;
  // Writes the sidecar of a model whose file is in place. Errors: kIo.
  Result<void> describe(const StoredModel& model) const;
  // Deletes a model of the store and its sidecar, never a file elsewhere.
  // Errors: kNotFound; kIo.
  Result<StoredModel> remove(std::string_view name) const;

 private:
  explicit Store(std::filesystem::path home) : home_(std::move(home)) {}
  Result<StoredModel> inspect(const std::filesystem::path& path) const;
  Error not_found(std::string_view name) const;

  std::filesystem::path home_;
};

}  // namespace maru::hub
