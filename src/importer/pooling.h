// importer/pooling.h - how a model of sentence-transformers makes one vector of many.
//
// Source: modules.json and 1_Pooling/config.json, as that library writes them.
// Threads: none.
#pragma once
#include <filesystem>

#include "base/result.h"
#include "importer/draft.h"

namespace maru::importer {

// Sets ARCHITECTURE.pooling_type where the folder says how. Encoders that say nothing take the
// mean. Errors: kCorrupt; kUnsupported for a way that GGUF has no number for, or a layer behind it.
Result<void> add_pooling(const std::filesystem::path& folder, Draft& draft);

}  // namespace maru::importer
