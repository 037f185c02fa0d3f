#include "importer/families.h"

#include <algorithm>

namespace maru::importer {
namespace {

constexpr const Family* kFamilies[] = {
    &kArcee,     &kBert,       &kCohere2,      &kDeepseek,  &kErnie,      &kErnieMoe,
    &kExaone4,   &kGemma2,     &kGemma3,       &kGlm4,      &kGlm4Moe,    &kGptOss,
    &kGranite,   &kGraniteMoe, &kHunyuanDense, &kLfm2,      &kLfm2Moe,    &kLlama,
    &kMamba2,    &kMixtral,    &kNemotron,     &kNomicBert, &kOlmo2,      &kOlmoe,
    &kPhi3,      &kQwen2,      &kQwen2Moe,     &kQwen3,     &kQwen35,     &kQwen3Moe,
    &kQwen3Next, &kSeedOss,    &kSmolLm3,      &kStablelm,  &kStarcoder2, &kXlmRoberta};

}  // namespace

std::span<const Family* const> families() { return kFamilies; }

const Family* find_family(std::string_view model_type) {
  for (const Family* family : kFamilies) {
    if (!model_type.empty() &&
        std::ranges::find(family->model_types, model_type) != family->model_types.end()) {
      return family;
    }
  }
  return nullptr;
}

}  // namespace maru::importer
