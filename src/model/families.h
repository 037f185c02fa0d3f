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

// One per family; metadata to spec. Errors: as load_model().
Result<DecoderSpec> arcee_spec(const Config& config);
Result<DecoderSpec> cohere2_spec(const Config& config);
Result<DecoderSpec> deepseek2_spec(const Config& config);
Result<DecoderSpec> ernie_moe_spec(const Config& config);
Result<DecoderSpec> ernie_spec(const Config& config);
Result<DecoderSpec> exaone4_spec(const Config& config);
Result<DecoderSpec> gemma2_spec(const Config& config);
Result<DecoderSpec> gemma3_spec(const Config& config);
Result<DecoderSpec> glm4_moe_spec(const Config& config);
Result<DecoderSpec> glm4_spec(const Config& config);
Result<DecoderSpec> gpt_oss_spec(const Config& config);
Result<DecoderSpec> granite_spec(const Config& config);
Result<DecoderSpec> hunyuan_dense_spec(const Config& config);
Result<DecoderSpec> lfm2_moe_spec(const Config& config);
Result<DecoderSpec> lfm2_spec(const Config& config);
Result<DecoderSpec> llama_spec(const Config& config);
Result<DecoderSpec> mamba2_spec(const Config& config);
Result<DecoderSpec> nemotron_spec(const Config& config);
Result<DecoderSpec> olmo2_spec(const Config& config);
Result<DecoderSpec> olmoe_spec(const Config& config);
Result<DecoderSpec> phi3_spec(const Config& config);
Result<DecoderSpec> qwen2_moe_spec(const Config& config);
Result<DecoderSpec> qwen2_spec(const Config& config);
Result<DecoderSpec> qwen35_spec(const Config& config);
Result<DecoderSpec> qwen3_moe_spec(const Config& config);
Result<DecoderSpec> qwen3_next_spec(const Config& config);
Result<DecoderSpec> qwen3_spec(const Config& config);
Result<DecoderSpec> seed_oss_spec(const Config& config);
Result<DecoderSpec> smollm3_spec(const Config& config);
Result<DecoderSpec> stablelm_spec(const Config& config);
Result<DecoderSpec> starcoder2_spec(const Config& config);

}  // namespace maru::model
