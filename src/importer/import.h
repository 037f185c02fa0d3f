// importer/import.h - from a folder as model hubs have it (config.json, safetensors,
// tokenizer.json) to the plan of a GGUF file.
//
// `maru import` calls it, in a process of its own that can write to one file. Only headers are read
// here; the values flow in write_plan().
// Threads: none; one owner.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "importer/plan.h"
#include "importer/weights.h"
#include "tensor/dtype.h"

namespace maru::importer {

struct ImportOptions {
  std::optional<tensor::DType> dtype;  // of large tensors; as in the source where not given
  std::string pre;                     // name of the pre-tokenizer; recognised where empty
};

struct Import {
  Weights weights;  // the plan points into it
  Plan plan;
  std::string architecture;
};

// The metadata that every import sets besides its own: what the file's types are.
void set_file_type(Plan& plan);

// F32, F16 or BF16. Errors: kInvalidArgument names what is accepted.
Result<tensor::DType> import_type(std::string_view name);

// `source` is the folder, or a file in it.
// Errors: kNotFound, kCorrupt, kUnsupported: what is missing or not known, and what is accepted.
Result<Import> plan_import(const std::filesystem::path& source, const ImportOptions& options);

}  // namespace maru::importer
