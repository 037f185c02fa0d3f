#include "hub/ollama_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <system_error>

#include "base/files.h"
#include "base/json.h"
#include "base/utf8.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

constexpr size_t kManifestBytesMax = 256 * 1024;
constexpr size_t kLicenceBytesMax = 256 * 1024;
constexpr size_t kLicenceShownMax = 60;
constexpr size_t kFilesMax = 10'000;
constexpr std::string_view kLibrary = "registry.ollama.ai/library/";
constexpr std::string_view kRegistry = "registry.ollama.ai/";

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// "llama3.2" is the library's, "user/model" the registry's, "hf.co/org/repo" of another host.
fs::path manifest_path(const fs::path& root, const OllamaReference& reference) {
  const auto n_slashes = std::ranges::count(reference.name, '/');
  std::string folder = n_slashes == 0   ? std::string(kLibrary)
                       : n_slashes == 1 ? std::string(kRegistry)
                                        : std::string();
  return root / "manifests" / (folder + reference.name) / reference.tag;
}

// The blob of a layer. Errors: kCorrupt; kNotFound where the file is not there.
struct Blob {
  fs::path path;
  uint64_t bytes = 0;
  std::string sha256;
};
Result<Blob> blob_of(const fs::path& root, const Json& layer) {
  constexpr std::string_view kPrefix = "sha256:";
  const std::string digest = text_of(layer, "digest");
  Blob blob;
  if (digest.starts_with(kPrefix)) blob.sha256 = digest.substr(kPrefix.size());
  if (blob.sha256.size() != 64 ||
      blob.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return Error::corrupt(
        fmt::format("a manifest of Ollama names the blob '{}', which is no sha256",
                    replace_invalid_utf8(digest.substr(0, 100))));
  }
  const auto size = layer.find("size");
  if (size == layer.end() || !size->is_number_unsigned()) {
    return Error::corrupt("a manifest of Ollama names a blob without its size");
  }
  blob.path = root / "blobs" / ("sha256-" + blob.sha256);
  std::error_code error;
  blob.bytes = fs::file_size(blob.path, error);
  if (error) {
    return Error::not_found(
        fmt::format("cannot read '{}': {}", blob.path.string(), error.message()));
  }
  if (blob.bytes != size->get<uint64_t>()) {
    return Error::corrupt(fmt::format("'{}' has {} bytes, its manifest says {}", blob.path.string(),
                                      blob.bytes, size->get<uint64_t>()));
  }
  return blob;
}

std::string first_line(const fs::path& path) {
  const Result<std::string> text = read_file(path, kLicenceBytesMax);
  if (!text.ok()) return {};
  const size_t begin = std::min(text->find_first_not_of(" \t\r\n"), text->size());
  std::string line = text->substr(begin, text->find('\n', begin) - begin);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return replace_invalid_utf8(line.substr(0, kLicenceShownMax));
}

Result<OllamaModel> read_manifest(const fs::path& root, const Json& manifest,
                                  const std::string& name) {
  const auto layers = manifest.find("layers");
  if (layers == manifest.end() || !layers->is_array()) {
    return Error::corrupt(fmt::format("Ollama's manifest of {} lists no layers", name));
  }
  OllamaModel model;
  for (const Json& layer : *layers) {
    if (!layer.is_object()) continue;
    const std::string type = text_of(layer, "mediaType");
    const bool weights = type == "application/vnd.ollama.image.model";
    if (!weights && type != "application/vnd.ollama.image.license") continue;
    MARU_TRY(blob, blob_of(root, layer));
    if (!weights) {
      if (model.licence.empty()) model.licence = first_line(blob.path);
      continue;
    }
    if (!model.blob.empty()) {
      return Error::unsupported(fmt::format("Ollama's {} is more than one file of weights", name));
    }
    model.blob = blob.path;
    model.bytes = blob.bytes;
    model.sha256 = blob.sha256;
  }
  if (model.blob.empty()) {
    return Error::unsupported(fmt::format("Ollama's {} has no GGUF file of its own", name));
  }
  if (const auto config = manifest.find("config");
      config != manifest.end() && config->is_object()) {
    const auto blob = blob_of(root, *config);
    const auto text = blob.ok() ? read_file(blob->path, kManifestBytesMax) : blob.error();
    const auto json = text.ok() ? parse_json(*text) : text.error();
    if (json.ok() && json->is_object()) model.quantization = text_of(*json, "file_type");
  }
  return model;
}

}  // namespace

Result<OllamaModel> find_in_ollama(const OllamaReference& reference,
                                   const std::vector<fs::path>& roots) {
  const std::string name = reference.name + ":" + reference.tag;
  for (const fs::path& root : roots) {
    const Result<std::string> text = read_file(manifest_path(root, reference), kManifestBytesMax);
    if (!text.ok()) {
      if (text.error().code == ErrorCode::kNotFound) continue;
      return text.error();
    }
    const Result<Json> manifest = parse_json(*text);
    if (!manifest.ok() || !manifest->is_object()) {
      return Error::corrupt(fmt::format("Ollama's manifest of {} is no JSON object", name));
    }
    return read_manifest(root, *manifest, name);
  }
  const std::vector<std::string> there = list_ollama(roots);
  if (!there.empty()) {
    return Error::not_found(
        fmt::format("Ollama has no model {} here; it has {}", name, fmt::join(there, ", ")));
  }
  std::vector<std::string> folders;
  for (const fs::path& root : roots) folders.push_back(root.string());
  return Error::not_found(
      fmt::format("Ollama has no models here (looked in {}); where its store is elsewhere, set "
                  "OLLAMA_MODELS to that folder",
                  fmt::join(folders, ", ")));
}

std::vector<std::string> list_ollama(const std::vector<fs::path>& roots) {
  std::vector<std::string> names;
  for (const fs::path& root : roots) {
    const fs::path folder = root / "manifests";
    std::error_code error;
    fs::recursive_directory_iterator files(folder, error);
    for (size_t n = 0; !error && files != fs::recursive_directory_iterator() && n < kFilesMax;
         ++n) {
      std::error_code ignored;
      if (files->is_regular_file(ignored)) {
        const fs::path below = files->path().lexically_relative(folder);
        std::string name = below.parent_path().string();
        if (name.starts_with(kLibrary))
          name = name.substr(kLibrary.size());
        else if (name.starts_with(kRegistry))
          name = name.substr(kRegistry.size());
        names.push_back(replace_invalid_utf8(name + ":" + below.filename().string()));
      }
      files.increment(error);
    }
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

}  // namespace maru::hub
