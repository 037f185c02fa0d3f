// hub/ollama_store.h - models that Ollama has on this machine already: its manifests, read only.
//
// pull.h links what is found. A manifest is outside bytes: digests are 64 hex digits before they
// become a file's name, and every size is checked. Threads: free functions; any.
// Layout (Ollama's): ROOT/manifests/HOST/NAMESPACE/MODEL/TAG is JSON with layers of a media type, a
// digest and a size; ROOT/blobs/sha256-HEX.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/reference.h"

namespace maru::hub {

struct OllamaModel {
  std::filesystem::path blob;  // a GGUF file
  uint64_t bytes = 0;
  std::string sha256;
  std::string licence;  // first line of its licence layer, "unknown" words and all; may be empty
  std::string quantization;  // as its configuration says; may be empty
};

// In the first of the roots that has it.
// Errors: kNotFound (says which models there are), kCorrupt, kUnsupported (its weights are no one
// GGUF file), kIo.
Result<OllamaModel> find_in_ollama(const OllamaReference& reference,
                                   const std::vector<std::filesystem::path>& roots);

// "llama3.2:3b" and so on, sorted; what cannot be read is left out.
std::vector<std::string> list_ollama(const std::vector<std::filesystem::path>& roots);

}  // namespace maru::hub
