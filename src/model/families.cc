#include "model/families.h"

namespace maru::model {
namespace {

constexpr Family kFamilies[] = {
    {"arcee", arcee_spec},
    {"cohere2", cohere2_spec},
    {"deepseek2", deepseek2_spec},
    {"ernie4_5", ernie_spec},
    {"ernie4_5-moe", ernie_moe_spec},
    {"exaone4", exaone4_spec},
    {"gemma2", gemma2_spec},
    {"gemma3", gemma3_spec},
    {"glm4", glm4_spec},
    {"glm4moe", glm4_moe_spec},
    {"gpt-oss", gpt_oss_spec},
    {"granite", granite_spec},
    {"granitemoe", granite_spec},
    {"hunyuan-dense", hunyuan_dense_spec},
    {"lfm2", lfm2_spec},
    {"lfm2moe", lfm2_moe_spec},
    {"llama", llama_spec},
    {"mamba2", mamba2_spec},
    {"nemotron", nemotron_spec},
    {"olmo2", olmo2_spec},
    {"olmoe", olmoe_spec},
    {"phi3", phi3_spec},
    {"qwen2", qwen2_spec},
    {"qwen2moe", qwen2_moe_spec},
    {"qwen3", qwen3_spec},
    {"qwen35", qwen35_spec},
    {"qwen3moe", qwen3_moe_spec},
    {"qwen3next", qwen3_next_spec},
    {"seed_oss", seed_oss_spec},
    {"smollm3", smollm3_spec},
    {"stablelm", stablelm_spec},
    {"starcoder2", starcoder2_spec},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

}  // namespace maru::model
