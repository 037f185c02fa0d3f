// model/families.h - which architectures Maru knows. Each is one file in families/ that turns
// metadata into a DecoderSpec, and one line in the table of families.cc.
#pragma once
#include <span>
#include <string_view>

#include "base/result.h"
#include "model/config.h"
#include "model/spec.h"

namespace maru::model {

struct Family {
  std::string_view architecture;  // general.architecture
  Result<DecoderSpec> (*spec)(const Config& config);
};

std::span<const Family> families();

Result<DecoderSpec> llama_spec(const Config& config);
Result<DecoderSpec> qwen2_spec(const Config& config);
Result<DecoderSpec> qwen3_spec(const Config& config);
Result<DecoderSpec> gemma3_spec(const Config& config);

}  // namespace maru::model
