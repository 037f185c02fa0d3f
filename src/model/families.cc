#include "model/families.h"

namespace maru::model {
namespace {

constexpr Family kFamilies[] = {
    {"gemma3", gemma3_spec},
    {"llama", llama_spec},
    {"qwen2", qwen2_spec},
    {"qwen3", qwen3_spec},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

}  // namespace maru::model
