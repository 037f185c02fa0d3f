// hub/reference.h - what a person types to name a model that is somewhere else, as one checked
// type.
//
//   hf.co/ORG/REPO/FILE.gguf   a file of the hub; also huggingface.co/..., https://hf.co/...
//   ORG/REPO:Q4_K_M            the file of that quantization (hf.co/ may stand before it)
//   ORG/REPO                   Q4_K_M where there is one
//   ...@REVISION               after REPO, or at the end: a branch, a tag or a commit
//   https://HOST/FILE.gguf     any web address
//   ./FILE.gguf                a file of this machine
//   ollama:NAME:TAG            a model in Ollama's store on this machine
//
// app/ parses, pull.h fetches, the catalogue holds some of them. Threads: free functions; any.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace maru::hub {

struct HubReference {
  std::string repo;               // "Qwen/Qwen3-0.6B-GGUF"
  std::string revision = "main";  // branch, tag or commit
  std::string file = {};          // path inside the repository; empty: by quantization
  std::string quantization = {};  // "Q4_K_M"; empty: the usual one
  bool operator==(const HubReference&) const = default;
};
struct WebReference {
  std::string url;
  bool operator==(const WebReference&) const = default;
};
struct PathReference {
  std::filesystem::path path;
  bool operator==(const PathReference&) const = default;
};
struct OllamaReference {
  std::string name;  // "llama3.2", or "namespace/model"
  std::string tag = "latest";
  bool operator==(const OllamaReference&) const = default;
};

using Reference = std::variant<HubReference, WebReference, PathReference, OllamaReference>;

// Errors: kInvalidArgument, saying what was wrong and how such a reference looks; kNotFound where
// the text is a bare name (of the catalogue or of nothing).
Result<Reference> parse_reference(std::string_view text);

// As one would type it: "hf.co/ORG/REPO@rev/FILE", "ollama:llama3.2:3b".
std::string reference_text(const Reference& reference);

// "Q4_K_M" of "qwen2.5-coder-1.5b-instruct-q4_k_m-00001-of-00002.gguf"; empty where a name has
// none.
std::string quantization_of(std::string_view file_name);

// The parts of a split model, by the name of one: FILE-00001-of-00003.gguf and so on; the name
// alone where it is none. Errors: kInvalidArgument for more parts than kSplitPartsMax.
inline constexpr size_t kSplitPartsMax = 1024;
Result<std::vector<std::string>> split_part_names(const std::string& file_name);
// "model" of "model-00001-of-00003.gguf" and of "model.gguf".
std::string model_stem(std::string_view file_name);

// What a model is called here: lower case, nothing but letters, digits and ".-_:".
std::string tidy_name(std::string_view text);
// Errors: kInvalidArgument where `name` is no such name.
Result<void> check_name(std::string_view name);

}  // namespace maru::hub
