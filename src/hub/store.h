// hub/store.h - the models on this machine: files under HOME/models (or links to files elsewhere),
// each with a small JSON beside it that says where it came from.
//
// app/ and serve/ find models through it; hub/pull.h adds to it. It never looks inside a model
// file (only the engine process parses GGUF). HOME is passed in: nothing here reads the
// environment.
// Layout: HOME/version; HOME/models/<stem>.gguf and <stem>.json, where the stem is the name with
// ':' as '-'; a split model is <stem>-00001-of-0000N.gguf and so on; HOME/downloads/ (hub/pull.h).
// Threads: a Store holds no state but its path; any.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/reference.h"

namespace maru::hub {

struct StoredModel {
  std::string name;
  std::filesystem::path path;                // of the first part where it is split
  std::vector<std::filesystem::path> parts;  // all files, `path` first
  uint64_t bytes = 0;                        // of all parts
  std::string link_target;                   // where `path` is a link to a file elsewhere
  // From the sidecar; empty for a GGUF file that somebody put into the folder or named by path.
  std::string source;               // as one would type it: "hf.co/ORG/REPO/FILE.gguf"
  std::string revision;             // the hub's commit
  std::vector<std::string> sha256;  // computed from the files, one for each part
  std::string checked;  // what vouched for the sha256: "catalogue", "hub", "ollama"; empty: nothing
  std::string licence;
  // From the sidecar, else from the file's name; empty where neither says.
  std::string quantization;
  int64_t pulled_at = 0;    // Unix seconds; 0 = unknown
  int64_t modified_at = 0;  // of the file
};

struct CatalogueEntry;
// What the catalogue says of this very file; nullptr where it is another one, or none of it.
const CatalogueEntry* catalogue_entry_of(const StoredModel& model);

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

  // By name; a file without a sidecar is listed too. A link whose file is gone is left out.
  Result<std::vector<StoredModel>> list() const;
  // A catalogue name or alias, the name of a file in the store, a path to a file, or the reference
  // that a stored model was pulled by ("hf.co/ORG/REPO:Q4_K_M").
  // Errors: kNotFound, with the nearest names and the command that would fetch it.
  Result<StoredModel> find(std::string_view name_or_path) const;
  // Writes the sidecar of a model whose file is in place. Errors: kIo.
  Result<void> describe(const StoredModel& model) const;
  // Deletes a model of the store (of a link the link) and its sidecar, never a file elsewhere.
  // Errors: kNotFound; kIo.
  Result<StoredModel> remove(std::string_view name) const;

 private:
  explicit Store(std::filesystem::path home) : home_(std::move(home)) {}
  Result<StoredModel> inspect(const std::filesystem::path& path) const;
  // The file of a name in the store, whether it can be read or not.
  std::filesystem::path locate(std::string_view name) const;
  Result<StoredModel> find_by_source(const Reference& wanted) const;
  Error not_found(std::string_view name) const;

  std::filesystem::path home_;
};

}  // namespace maru::hub
